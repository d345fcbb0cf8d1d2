"""What people and machines read: plans, progress, results and diagnostics as text, JSON lines and markdown.

Functions take data of core and return strings; the command line prints them.
"""
