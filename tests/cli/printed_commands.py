"""Find the commands that an output names, and run each as printed."""

import re
import shlex

NAMES = "run|resume|review|verify|report|export|calibrate|plan|solve|rejudge|fork"
WORD = r"""(?!to |once |or |and |reads |what |takes )(?:'[^']*'(?:"'"'[^']*')*|(?:[^\s;,()|'"]|,(?=\S))+)"""
COMMAND = re.compile(rf"unerring (?:{NAMES})(?: {WORD})+")


def printed_commands(done):
    """The commands that an output names, each as a list of its words."""
    return [shlex.split(found[0])[1:] for found in COMMAND.finditer(done.out + done.err)]


class FolderCopy:
    """A copy of the files in a folder, to restore them."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def restore(self):
        for path in self.folder.iterdir():
            if path.is_file() and path not in self.files:
                path.unlink()
        for path, content in self.files.items():
            path.write_bytes(content)


def failing(cli, folder, done):
    """The commands that an output names and that fail as printed, each tried on the files as they were."""
    kept, failed = FolderCopy(folder), {}
    commands = printed_commands(done)
    if not commands:
        return {"no command": done.out + done.err}
    for words in commands:
        kept.restore()
        again = cli(*words)
        if again.code not in {0, 3, 4} or re.search(r" [A-Z]$| [A-Z] ", shlex.join(words)):
            failed[shlex.join(words)] = again.err
    kept.restore()
    return failed
