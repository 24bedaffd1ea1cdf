"""The nginx that the programs in this folder measure against, and how they look at processes."""
import itertools, os, pathlib, resource, shutil, socket, subprocess, tempfile, time

# One core for the client alone, the other for the server.
CLIENT_CORE, SERVER_CORE = sorted(os.sched_getaffinity(0))[:2]
# Addresses that it listens on. The ports of ended connections linger for a minute, and a client searches long for a free one among ten thousand of
# them: at another address they are free.
ADDRESSES = [f"127.0.9.{last}" for last in range(1, 121)]
# Connections: ten thousand, and some that are just ending.
ROOM = 12_000

CONFIG = """daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections {files}; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    server {{ {listen} location / {{ default_type text/plain; return 200 "ok"; }} }}
}}
"""


class Nginx:
    """Started on entering, ended on leaving; nothing of it stays."""

    def __enter__(self):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # inherited by all that is started from here
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as probe:
            probe.bind((ADDRESSES[0], 0))
            port = probe.getsockname()[1]
        self.urls = itertools.cycle(f"http://{address}:{port}/" for address in ADDRESSES)
        listen = "".join(f"listen {address}:{port} backlog=16384; " for address in ADDRESSES)
        config = pathlib.Path(self.folder.name, "nginx.conf")
        config.write_text(CONFIG.format(folder=self.folder.name, listen=listen, files=min(ROOM, most)))
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        words = ["taskset", "-c", str(SERVER_CORE), nginx, "-p", self.folder.name, "-c", str(config), "-e", f"{self.folder.name}/error.log"]
        self.process = subprocess.Popen(words)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((ADDRESSES[0], port), timeout=1).close()
                return self
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise RuntimeError("nginx does not answer") from error
                time.sleep(0.05)

    def url(self):
        """One that has not been used for long."""
        return next(self.urls)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def resident(pid, which):
    """`VmRSS` (now) or `VmHWM` (at most) of a process in KiB; nothing once it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith(which + ":")), None)
