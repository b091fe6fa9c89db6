"""`vitreous gui`: the project in a browser."""

from __future__ import annotations

import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.options import HERE, Json, ProjectDir, Yes, confirm
from vitreous.cli.output import print_json
from vitreous.errors import InputError, NotAProjectError

if TYPE_CHECKING:
    from vitreous.gui.start import Running


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Jobs")(gui)


def gui(  # noqa: PLR0913, PLR0917 - one argument a flag
    project: ProjectDir = HERE,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; else the first free one from 8710 on."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, where there is one.")
    ] = True,
    read_only: Annotated[bool, typer.Option("--read-only", help="Let nobody change it.")] = False,
    unix_socket: Annotated[
        Path | None,
        typer.Option("--socket", metavar="PATH", help="Listen on a Unix socket (- chooses one)."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A folder outside that links in the project lead to."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let --host be one that others can reach.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that a reverse proxy calls it by."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Origin of the pages behind a reverse proxy."),
    ] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Let nobody in who knows an earlier address.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Open the project in a browser; Ctrl-C stops the server, and jobs go on."""
    from vitreous.gui import start

    root = _project(project, read_only=read_only, yes=yes)
    known = start.running(root)
    if known is not None and new_token:
        raise InputError(
            f"The server of {root} runs as process {known.pid}, with the tokens that it has. Stop "
            "it (Ctrl-C, or Stop server in the Project menu) and start it again with --new-token."
        )
    if known is not None and port is None and unix_socket is None:
        _tell(known, json=json, is_new=False)
        if browser and not known.socket:
            start.open_browser(known.url)
        return
    chosen = Path() if unix_socket is not None and str(unix_socket) == "-" else unix_socket
    where = start.Where(
        host=host,
        port=port,
        socket=chosen,
        allow_network=allow_network,
        hosts=tuple(allow_host or ()),
        origins=tuple(allow_origin or ()),
    )

    def begun(running: Running) -> None:
        _tell(running, json=json, is_new=True)
        if browser and not running.socket:
            start.open_browser(running.url)

    folders = tuple(data or ())
    start.serve(root, where, read_only=read_only, data=folders, new_token=new_token, on_start=begun)


def _project(folder: Path, *, read_only: bool, yes: bool) -> Path:
    """Return the folder of a project, which is made where the user agrees."""
    from vitreous.actions import Project

    try:
        return Project(folder, read_only=read_only).root
    except NotAProjectError:
        if read_only or (folder.exists() and not folder.is_dir()):
            raise
        if not (yes or confirm(f"{folder.resolve()} is not a project. Make it one?")):
            raise
        return Project.create(folder).root


def _tell(running: Running, *, json: bool, is_new: bool) -> None:
    if json:
        print_json(
            {
                "project": running.project,
                "url": running.url,
                "read_only_url": running.read_only_url,
                "socket": running.socket or None,
                "pid": running.pid,
                "new": is_new,
            }
        )
        sys.stdout.flush()
        return
    what = "is served" if is_new else f"is served already, by process {running.pid}"
    print(f"{running.project} {what}. Open")
    print(f"    {running.url}")
    print("or, for somebody who may only look,")
    print(f"    {running.read_only_url}")
    print(f"From another machine, first: {_tunnel(running)}")
    if is_new:
        print("Ctrl-C stops the server; jobs go on.")
    sys.stdout.flush()


def _tunnel(running: Running) -> str:
    port = running.url.split("/")[2].rpartition(":")[2]
    there = shlex.quote(running.socket) if running.socket else f"127.0.0.1:{port}"
    return f"ssh -L {port}:{there} {socket.gethostname()}"
