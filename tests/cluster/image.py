#!/usr/bin/env python3
"""Writes an OCI image archive to standard output: image.py --entrypoint PATH FILE=PATH... REF... [-- DEFAULT_ARGUMENT...]

One layer, no compression, no times: the same files always make the same image, and all references share it.
"""

import hashlib
import io
import json
import platform
import re
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def full_name(reference):
    """What a kubelet makes of a short reference: registry and path spelled out."""
    first, slash, _ = reference.partition("/")
    if slash and re.search(r"[.:]|^localhost$", first):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


def add(archive, name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def layer_of(files):
    """The root file system as a tar: the files, executable, and a /tmp that everybody may write."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        tmp = tarfile.TarInfo("tmp")
        tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(tmp)
        for source, target in files:
            with open(source, "rb") as file:
                add(archive, target.lstrip("/"), file.read(), 0o755)
    return buffer.getvalue()


def write_image(out, files, references, entrypoint, arguments):
    blobs = {}

    def blob(media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    layer = blob("layer.v1.tar", layer_of(files))
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": [entrypoint], "Cmd": arguments, "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    config = blob("config.v1+json", json.dumps(config).encode())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}
    manifest = blob("manifest.v1+json", json.dumps(manifest).encode())
    named = [dict(manifest, annotations={"io.containerd.image.name": full_name(r)}) for r in references]

    with tarfile.open(fileobj=out, mode="w|") as archive:
        add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": named}).encode())
        for digest, data in blobs.items():
            add(archive, f"blobs/sha256/{digest}", data)


def main(arguments):
    if len(arguments) < 4 or arguments[0] != "--entrypoint":
        sys.exit(__doc__)
    entrypoint, rest = arguments[1], arguments[2:]
    split = rest.index("--") if "--" in rest else len(rest)
    files = [argument.split("=", 1) for argument in rest[:split] if "=" in argument]
    references = [argument for argument in rest[:split] if "=" not in argument]
    if not files or not references:
        sys.exit(__doc__)
    write_image(sys.stdout.buffer, files, references, entrypoint, rest[split + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
