"""Find the lines of the user's own files that an error came from, among those of unerring, Python and packages."""

import sysconfig
import traceback
from pathlib import Path

from unerring.core.user_code import WrongReturn, error_line, method_note

OTHER_CODE = tuple({str(Path(__file__).parents[2]), *sysconfig.get_paths().values()})


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of an error that lie in the user's own files, outermost first."""
    return [
        one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith((*OTHER_CODE, "<"))
    ]


def error_with_place(error: BaseException) -> str:
    """An error in one line, and the place in the user's own files that it came from."""
    return " ".join(_placed(error).split())


def _placed(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:  # the place is in a file that Python read, not in a frame
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    own, message = own_frames(error), error_line(error)
    if isinstance(error, WrongReturn) or (method_note(error) and not own):  # the message names the place
        return message
    frames = own or traceback.extract_tb(error.__traceback__)
    return f"{message} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else message
