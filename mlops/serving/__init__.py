"""Serve models: their folders, their signatures, their predictors and the server around them.

A leaf of the house: nothing here imports another room of `mlops`, so that an image gets this folder and its few packages only. The walk:
`folders.write` (a model step) → `folders.read` → `predictors.load` → `repositories.Repository` → `replicas.run`; and of a request:
`applications.Application` → `routing` → `offering` → `inferring` → `dialects` → `tensors.Reader` → the model → `protocols` → the wire.
"""
