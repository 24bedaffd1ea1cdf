"""What a client did, seen from outside of it: the requests and answers as they passed the loopback device."""
import math, pathlib, re, shutil, signal, struct, subprocess

from server import SERVER_CORE

# The first bytes of a TCP payload.
PAYLOAD = "tcp[((tcp[12] & 0xf0) >> 2):4]"
GET, ANSWER = 0x47455420, 0x48545450  # "GET ", "HTTP"
# Enough for the headers down to TCP.
SNAPPED = 96
BUFFER = 64 * 1024  # KiB


class Wire:
    """Captures what goes to and from a port from entering to leaving; then `took` says when each request passed, and its answer."""

    def __init__(self, port, folder):
        self.port, self.file = port, pathlib.Path(folder, "wire.pcap")

    def __enter__(self):
        words = ["taskset", "-c", str(SERVER_CORE), shutil.which("tcpdump"), "-i", "lo", "-n", "-w", str(self.file), "-s", str(SNAPPED), "-B", str(BUFFER)]
        only = f"tcp port {self.port} and ({PAYLOAD} = {GET} or {PAYLOAD} = {ANSWER})"
        self.process = subprocess.Popen([*words, "--time-stamp-precision=nano", only], stderr=subprocess.PIPE, text=True)
        # It says so once it listens; before, it has nothing to say or ends.
        line = self.process.stderr.readline()
        if "listening on lo" not in line:
            self.process.kill()
            raise RuntimeError(f"tcpdump: {line.strip()}")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate()[1]
        lost = re.search(r"(\d+) packets? dropped by kernel", said)
        if lost is None or int(lost[1]) > 0:
            raise RuntimeError(f"tcpdump has not seen all: {said.strip()}")

    def took(self):
        """For each answered request, in the order of the requests: when it passed, and its answer, in seconds."""
        pairs, asked = [], {}
        data = self.file.read_bytes()
        at = 24  # after the file's header
        while at < len(data):
            seconds, nanos, kept, _ = struct.unpack_from("<IIII", data, at)
            packet = data[at + 16 : at + 16 + kept]
            at += 16 + kept
            tcp = 14 + (packet[14] & 15) * 4
            source, target = struct.unpack_from(">HH", packet, tcp)
            moment = seconds + nanos * 1e-9
            if target == self.port:
                asked.setdefault(source, moment)
            elif target in asked:
                pairs.append((asked.pop(target), moment))
        return sorted(pairs)


def from_intended_start(pairs, rate, seconds):
    """The 99th percentile, in milliseconds, of the time from when a request was due to its answer; endless for a client that sent too few of them.

    The k-th request of an open schedule is due k/rate after the first. When that was, only the client knows: the latest moment is taken at which it cannot
    have sent any request before its time, which is in favour of each client alike.
    """
    if len(pairs) < 0.99 * rate * seconds:
        return math.inf
    start = min(sent - k / rate for k, (sent, _) in enumerate(pairs))
    took = sorted(answered - start - k / rate for k, (_, answered) in enumerate(pairs))
    return took[math.ceil(0.99 * len(took)) - 1] * 1e3
