"""The only code that touches the concurrency of Python itself.

It does not know scenarios, checks or reports.
"""
