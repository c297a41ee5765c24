/* Small things that every page needs. */
(function () {
  "use strict";

  // A page opened from disk cannot fetch the text of the pages that a search finds: show titles only.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // What scrolls inside its own box can be scrolled with the keyboard.
  function reachScrollBoxes() {
    document.querySelectorAll(".bd-article :is(pre, .pst-scrollable-table-container, div.math, mjx-container, .ck-scroll, .output)").forEach((box) => {
      if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible") box.tabIndex = 0;
    });
  }

  // Tables scroll inside a box of their own on narrow screens.
  function boxTables() {
    document.querySelectorAll(".bd-article table").forEach((table) => {
      if (table.closest(".ck-scroll, .pst-scrollable-table-container, .highlighttable")) return;
      const box = document.createElement("div");
      box.className = "ck-scroll";
      table.replaceWith(box);
      box.appendChild(table);
    });
  }

  document.addEventListener("DOMContentLoaded", boxTables);
  window.addEventListener("load", () => {
    const ready = window.MathJax && MathJax.startup && MathJax.startup.promise ? MathJax.startup.promise : Promise.resolve();
    ready.then(reachScrollBoxes);
  });
  window.addEventListener("resize", reachScrollBoxes);
})();
