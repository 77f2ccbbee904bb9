"""Siyu (私域): know, reward, reach and keep a brand's own customers. One self-hosted system."""

__version__ = "0.1.0"
