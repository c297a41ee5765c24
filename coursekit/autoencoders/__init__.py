"""Autoencoders, and denoising ones as generative models."""
