"""Reads and verifies a store of results by docs/format.md alone: `reader.py FOLDER KEYRING [--encrypted]`."""

import base64
import hashlib
import hmac
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FIELDS = ["format", "key", "parts", "task", "run", "serializer", "size", "digest", "created", "expires"]
FORMS = {
    "entrepot-result/1": [FIELDS],
    "entrepot-result/2": [[*FIELDS, "transaction"]],
    "entrepot-result/3": [[*FIELDS, "about", "details"], [*FIELDS, "about", "details", "transaction"]],
}


class RefusedError(Exception):  # what does not verify is never given out
    pass


def check(right: object, why: str) -> None:
    if not right:
        raise RefusedError(why)


class Store:
    def __init__(self, folder: Path, keyring: Path, *, encrypted: bool) -> None:
        self.folder, self.encrypted, ring = folder, encrypted, json.loads(keyring.read_bytes())
        self.ring_id, self.keys = ring["ring_id"], {}
        for key in ring["keys"]:
            if key["purpose"] == "result" and key["state"] in {"staged", "enabled"}:
                self.keys[key["id"]] = material = base64.b64decode(key["material"]["raw"])
                check(key["id"] == "k" + hashlib.sha256(b"entrepot-key-id/1" + material).hexdigest()[:16], "keyring")

    def derive(self, key_id: str, label: bytes) -> bytes:
        check(key_id in self.keys, f"unknown key {key_id}")
        prk = hmac.digest(b"entrepot/hkdf/1", self.keys[key_id], "sha256")
        return hmac.digest(prk, label + b"\0\1", "sha256")

    def read(self, path: str) -> bytes | None:
        file = self.folder / path
        data = file.read_bytes() if file.is_file() else None
        return self.decrypt(path, data) if self.encrypted and data is not None else data

    def decrypt(self, path: str, data: bytes) -> bytes:
        head, chunks = data[:128], [data[at : at + 262160] for at in range(128, len(data), 262160)]
        check(head.startswith(b"entrpt-1") and len(head) == 128 and chunks, "not encrypted")
        key_id, bound = "k" + head[8:16].hex(), b"\0".join([b"entrpt-1", self.ring_id.encode(), path.encode()])
        commit = self.derive(key_id, b"entrepot/result/stream-commit/1")
        made = hmac.digest(commit, len(bound).to_bytes(8, "big") + bound + head[:96], "sha256")
        check(hmac.compare_digest(made, head[96:]), "header")
        wrap = AESGCM(self.derive(key_id, b"entrepot/result/stream-wrap/1"))
        try:
            cipher = AESGCM(wrap.decrypt(head[16:28], head[28:76], bound))
            nonces = [head[76:83] + n.to_bytes(4, "big") + bytes([n == len(chunks) - 1]) for n in range(len(chunks))]
            return b"".join(cipher.decrypt(n, chunk, bound) for n, chunk in zip(nonces, chunks, strict=True))
        except Exception as error:
            raise RefusedError("chunk") from error

    def signed(self, data: bytes, kind: str, place: str) -> dict[str, object]:
        match = re.fullmatch(rb"([^\n]*)\nentrepot-sig/1 (k[0-9a-f]{16}) ([0-9a-f]{64})\n", data)
        check(match, "no signature")
        line, key_id, given = match[1], match[2].decode(), match[3].decode()
        context = f"{kind} {place}".encode()
        message = len(context).to_bytes(8, "big") + context + line
        made = hmac.new(self.derive(key_id, b"entrepot/result/sign/1"), message, "sha256").hexdigest()
        check(hmac.compare_digest(made, given), "signature")
        return json.loads(line)

    def record(self, data: bytes, path: str, place: str) -> dict[str, object]:
        fields = self.signed(data, "entrepot-result/1", place)
        check([*fields][:-1] in FORMS.get(fields["format"], []), "format")
        check([*fields][-1] in {"value", "value64", "payload"}, "format")
        key = fields["key"]
        hashed = key[7:] if re.fullmatch("sha256:[0-9a-f]{64}", key) else hashlib.sha256(key.encode()).hexdigest()
        check(path == f"records/{hashed[:2]}/{hashed}.json", "another key's")
        return fields

    def is_committed(self, transaction: object) -> bool:
        path = f"transactions/{transaction[:2]}/{transaction}.json"
        data = self.read(path)
        marker = data and self.signed(data, "entrepot-transaction/1", path)
        check(not marker or marker["id"] == transaction, "another transaction's")
        return bool(marker) and marker["state"] == "committed"

    def current(self, path: str, data: bytes) -> dict[str, object] | None:
        if data.startswith(b'{"format":"entrepot-flight/'):
            data = data.split(b"\n", 2)[-1]  # somebody computes a new one; this is what was there before
            if not data:
                return None
        fields = self.signed(data, "entrepot-result/1", path)
        if fields["format"] != "entrepot-versions/1":
            fields = self.record(data, path, path)
            return fields if "transaction" not in fields or self.is_committed(fields["transaction"]) else None
        chain = f"versions/{fields['chain'][:2]}/{fields['chain']}"
        for number in sorted((int(f.stem) for f in (self.folder / chain).glob("[0-9]*.json")), reverse=True):
            place = f"{chain}/{number}.json"
            version = self.record(self.read(place), path, place)
            if self.is_committed(version["transaction"]):
                return version
        base = self.read(f"{chain}/base.json")
        check(base and hashlib.sha256(path.encode() + b"\0" + base).hexdigest() == fields["chain"], "base")
        return self.current(path, base)

    def value(self, fields: dict[str, object]) -> bytes:
        if "payload" not in fields:
            return fields["value"].encode() if "value" in fields else base64.b64decode(fields["value64"])
        match = re.fullmatch("blake3:(k[0-9a-f]{16}):([0-9a-f]{64})", fields["digest"])
        check(match and re.fullmatch(rf"payloads/{match[2][:2]}/{match[2]}\.[a-z0-9.]+", fields["payload"]), "payload")
        data = self.read(fields["payload"])
        check(data is not None and len(data) == fields["size"], "size")
        made = blake3(data, key=self.derive(match[1], b"entrepot/result/digest/1")).hexdigest()
        check(hmac.compare_digest(made, match[2]), "digest")
        return data

    def look(self, path: str) -> dict[str, object]:
        try:
            fields = self.current(path, self.read(path))
            if fields is None:
                return {"outcome": "miss"}
            if fields["expires"] and datetime.fromisoformat(fields["expires"]) <= datetime.now(UTC):
                return {"outcome": "expired", "key": fields["key"]}
            value = base64.b64encode(self.value(fields)).decode()
            return {"outcome": "hit", "key": fields["key"], "serializer": fields["serializer"], "value": value}
        except RefusedError as why:
            return {"outcome": "refused", "why": str(why)}


if __name__ == "__main__":
    store = Store(Path(sys.argv[1]), Path(sys.argv[2]), encrypted="--encrypted" in sys.argv)
    for found in sorted(store.folder.glob("records/*/*.json")):
        place = str(found.relative_to(store.folder))
        print(json.dumps({"path": place, **store.look(place)}))  # noqa: T201  its answer
