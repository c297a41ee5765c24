"""Latent-variable models and variational inference."""
