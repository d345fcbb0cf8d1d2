"""The real doors to the outside, one per dependency: the only modules that touch files, networks, processes and clocks.

Each maps the errors of its library to `Refused` or `Unavailable`, with what to do about them.
"""
