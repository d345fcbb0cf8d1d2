"""Composing: conf/ and overrides become typed, checked, compiled resources; the only room that imports hydra and omegaconf."""
