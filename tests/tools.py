"""System tools that some tests need, and the line that installs each."""

TOOLS = {
    "chromium": "sudo apt-get install chromium",
    "bwrap": "sudo apt-get install bubblewrap",
}
