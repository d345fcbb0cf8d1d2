"""Which texts may name a model or a version: those that stand in a path and in a header as they are, and never climb out of a folder."""

import re

NAME = re.compile(r"[A-Za-z0-9_:@+-][A-Za-z0-9._:+@-]*")
