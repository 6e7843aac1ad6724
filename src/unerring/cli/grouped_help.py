"""A command whose `--help` lists its options under headings, the most used ones first."""

import click

HELP = "_click_default_help"  # the parameter of --help
GROUPS = {  # headings, and the parameters under each in the order of the help
    "What runs": (
        *("settings", "given", "limit", "models", "journal", "max_steps", "samples", "out", "seed", "parse", "roles"),
        *("depth", "parts", "nodes", "process", "parameters", "repair", "accept_changes", "trust"),
    ),
    "How steps are decided": (
        *("k", "success", "rule", "calibration", "vote_cap", "flag_cap", "min_replies", "shortlist", "escalate"),
        *("escalate_after", "copies", "flagged", "same_model"),
    ),
    "What it may cost": ("usd", "tokens", "calls", "hours", "strict", "prices"),
    "How models are asked": (
        *("temperature", "first_temperature", "max_output_tokens", "system", "extra", "nonce", "echo", "probe"),
        *("allow_hosts", "patience", "grace"),
    ),
    "Speed": ("speculate", "in_flight", "waste"),
    "Output": ("verbose", "tree", "plots", "require", "as_json", "traceback", HELP),
}
LAST = "Other options"  # the heading of options that no group names


class GroupedCommand(click.Command):
    """A command whose options are listed by group; a group without an option of the command is left out."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, in the order of `GROUPS`."""
        records = {}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and (record := one.get_help_record(ctx)) is not None:
                records[HELP if "--help" in one.opts else one.name] = record
        for heading, names in GROUPS.items():
            if rows := [records.pop(name) for name in names if name in records]:
                with formatter.section(heading):
                    formatter.write_dl(rows)
        if records:
            with formatter.section(LAST):
                formatter.write_dl([*records.values()])
