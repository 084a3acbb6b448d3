"""The programs of the museum, in plain `threading` and `asyncio`: nothing here asks the harness.

Conventions, which decide how hard a bug is to find:

- Workers are started by the main thread one by one, in order, in straight code.
- Shared data are attributes of one plain namespace, so that each read and each write is one point,
  and `x += 1` is two. Locks and conditions are locals: looking one up is no point.
- `acquire`, `release`, `wait`, `notify`, `start` and `join` are called, not hidden in a `with`,
  which would have a point where it is entered and none where it is left.
- A condition is notified under its lock, as Python asks for, unless the original notifies later
  (then it is a `PosixCondition`).
- Loops go over tuples and ranges only: taking the next item of a list is a point.
"""
