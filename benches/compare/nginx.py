"""Configurations of nginx: as the origin, and as the caches that are compared."""

import os
from dataclasses import dataclass
from pathlib import Path

KEEPING = "keepalive_timeout 300s; keepalive_requests 1000000000;"


@dataclass(frozen=True)
class Options:
    """How a cache differs from what Debian sets."""

    open_files: bool = False
    rewrite: bool = False
    sendfile: bool = True
    # Whether connections are kept for as long as a load needs them.
    keeping: bool = True


def origin(folder: Path, port: int, root: Path) -> str:
    """Serves the files below `root`, and says nothing of how long they may be kept."""
    return _whole(
        folder,
        f"""
    {KEEPING}
    access_log off;
    sendfile on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {root};
    }}
""",
    )


def proxy(
    folder: Path, port: int, upstream: str, options: Options, tls: tuple[Path | None, Path | None] | None
) -> str:
    """Keeps what `upstream` answers, as the published recipes for NuGet do it."""
    files = "open_file_cache max=20000 inactive=1d;" if options.open_files else ""
    sending = "sendfile on; tcp_nopush on;" if options.sendfile else "sendfile off; output_buffers 1 1m;"
    listen, secret = f"127.0.0.1:{port} backlog=4096", ""
    if tls:
        listen += " ssl http2"
        secret = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};"
    rewriting = f"""
            sub_filter_types application/json;
            sub_filter_once off;
            sub_filter '{upstream}/' '$scheme://$http_host/';
"""
    return _whole(
        folder,
        f"""
    {KEEPING if options.keeping else ""}
    access_log {folder}/access.log combined buffer=64k flush=1s;
    {sending}
    {files}
    {secret}
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=feed:100m max_size=20g inactive=1d use_temp_path=off;
    upstream feed {{
        server {upstream.removeprefix("http://")};
        keepalive 64;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://feed;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache feed;
            proxy_cache_key $uri;
            proxy_cache_valid 200 1d;
            proxy_cache_lock on;
            add_header X-Cache $upstream_cache_status;
            {rewriting if options.rewrite else ""}
        }}
    }}
""",
    )


def _whole(folder: Path, server: str) -> str:
    # As root, the worker could not read what the others keep.
    user = "user root;" if os.geteuid() == 0 else ""
    folders = "\n".join(
        f"    {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 16000; }}
http {{
    types {{ application/json json; application/octet-stream nupkg; }}
{folders}
{server}
}}
"""
