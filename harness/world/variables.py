"""The variables of a frame, looked at without a trace.

Before 3.13 a frame keeps the dict that shows its variables, and with it whatever the function lets
go of later: finalisers would wait for the end of the function. It knows frames only.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType


def variables_of(frame: FrameType) -> dict[str, object]:
    """Return the variables of a frame by name, for the moment: the dict is the caller's own."""
    shown = frame.f_locals
    variables = dict(shown)
    is_of_function = frame.f_code.co_flags & inspect.CO_OPTIMIZED
    # Who has called `locals()` there has the same dict, and keeps what is in it anyway. From 3.13
    # on, nobody has it but this function.
    if is_of_function and sys.getrefcount(shown) == _FRAME_AND_HERE:
        shown.clear()
    return variables


#: Who holds the dict that a frame keeps: the frame, the variable here, and the argument.
_FRAME_AND_HERE = 3
