"""Serve one model: its folder, its signature, its predictor and the server around them.

A leaf of the house: nothing here imports another room of `mlops`, so that an image gets this folder and its few packages only. The walk:
`folders.write` (a model step) → `folders.read` → `predictors.load` → `replicas.run` → `applications.Application` → `tensors.Reader` → the
model → `protocols` → the wire.
"""
