"""One request fetches a page, the others wait for it: a queue in front of a web application.

`policy` is what both flavours decide alike; each part is a folder of its own. How many upstream
fetches a crowd costs, what each of its requests is told and when, and that nobody is left in the
register is what the storms promise.
"""
