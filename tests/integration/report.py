"""Prints tables of what was measured, whether or not pytest captures output."""


def write_lines(request, lines):
    """Writes to the terminal; for fixtures that collect rows and print them when a file's last test is done."""
    manager = request.config.pluginmanager
    with manager.getplugin("capturemanager").global_and_fixture_disabled():
        for line in [""] + lines:
            manager.getplugin("terminalreporter").write_line(line)
