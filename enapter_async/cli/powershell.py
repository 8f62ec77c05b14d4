"""Completion in PowerShell, which click does not support."""

from __future__ import annotations

import os
from typing import ClassVar

from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

_SCRIPT = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $text = $commandAst.ToString()
    $env:COMP_WORDS = $text.Substring(0, [Math]::Min($text.Length, $cursorPosition - $commandAst.Extent.StartOffset))
    $env:COMP_INCOMPLETE = $wordToComplete
    $env:%(complete_var)s = "powershell_complete"
    try {
        %(prog_name)s | Where-Object { $_ } | ForEach-Object {
            $value, $about = $_ -split "`t", 2
            if (-not $about) { $about = $value }
            [System.Management.Automation.CompletionResult]::new($value, $value, "ParameterValue", $about)
        }
    } finally {
        Remove-Item "Env:COMP_WORDS", "Env:COMP_INCOMPLETE", "Env:%(complete_var)s" -ErrorAction SilentlyContinue
    }
}
"""


class PowerShellComplete(ShellComplete):
    """Completion in PowerShell, with a value and its description on each line."""

    name: ClassVar[str] = "powershell"
    source_template: ClassVar[str] = _SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the complete words and the incomplete one. PowerShell has no empty variables."""
        words = split_arg_string(os.environ.get("COMP_WORDS", ""))[1:]
        incomplete = os.environ.get("COMP_INCOMPLETE", "")
        if incomplete and words and words[-1] == incomplete:
            words.pop()
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return the line of a completion. Without a line, PowerShell completes file names itself."""
        return "" if item.type != "plain" else f"{item.value}\t{item.help or ''}".rstrip()
