"""``prereg store push`` and ``prereg store pull``, and what the other store commands do where the store is a URL.

Exit codes are an interface: 0 done, 1 something was damaged or there with other bytes, 2 unusable input or no network.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from harness.core.errors import JobError, PreregError
from harness.core.places import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.core.browse import Row
    from harness.core.remote.shelf import Outcome, Shelf
    from harness.core.remote.store import RemoteStore
    from harness.core.tidy import Checked

NOT_ALL = 1


def add(inner: Any) -> None:
    """Add ``push`` and ``pull`` to the subcommands of ``store``."""
    push = inner.add_parser(
        "push", help="bring artifacts of a folder to a store on a URL",
        description="Brings artifacts to a store on a URL, with what they were made from. What is there already is "
        "not sent again: after an interruption, run the same command again.",
    )  # fmt: skip
    _what(push)
    push.set_defaults(run=_push)
    pull = inner.add_parser(
        "pull", help="bring artifacts of a store on a URL into a folder",
        description="Brings artifacts of a store on a URL into a folder and checks every byte. What lies in the "
        "folder already is not fetched again: after an interruption, run the same command again.",
    )  # fmt: skip
    _what(pull)
    pull.set_defaults(run=_pull)


def _what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("keys", nargs="*", metavar="KEY", help="a key, its beginning, or a job's label")
    parser.add_argument("url", metavar="URL", help="protocol://bucket/prefix, such as s3://bucket/prefix")
    parser.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--store", type=place, help="the folder")


def _push(options: argparse.Namespace) -> int:
    from harness.core.browse import Browser, keys

    _one_of(options)
    shelf = _shelf(options)
    store = shelf.store
    if not (store.root / "objects").is_dir():
        raise PreregError(f"there is no store at {store.root}. Give it with --store FOLDER or PREREG_STORE")
    wanted = list(keys(store)) if options.all else [Browser(store).find(text).key for text in options.keys]
    shelf.connect(fresh_s=0.0)
    store.prepare()
    return _each(wanted, shelf.settle, shelf)


def _pull(options: argparse.Namespace) -> int:
    from harness.core.browse import Browser
    from harness.core.places import open_url

    _one_of(options)
    shelf, remote = _shelf(options), open_url(options.url)
    remote.connect(create=False)
    shelf.listing.replace(remote.listing.keys)
    if options.all:
        wanted = sorted(shelf.listing.keys)
    else:
        learn(remote)
        browser = Browser(remote)
        wanted = [browser.find(text).key for text in options.keys]
    shelf.store.prepare()
    return _each(wanted, lambda key: "same" if shelf.store.has(key) else shelf.fetch(key), shelf)


def _one_of(options: argparse.Namespace) -> None:
    if bool(options.keys) == options.all:
        found = "neither keys nor --all" if options.all is False else "both keys and --all"
        raise PreregError(f"{found}: name the artifacts (see: prereg store ls), or ask for everything with --all")


def _shelf(options: argparse.Namespace) -> Shelf:
    """Return the artifacts at the URL, beside the folder; a folder that is a cache of that URL yields to it."""
    from harness.core.places import open_store, open_url
    from harness.core.remote.files import Files
    from harness.core.remote.listing import Listing
    from harness.core.remote.shelf import Shelf
    from harness.core.store import Store

    remote = open_url(options.url)
    folder = Store(open_store(options.store).root)
    return Shelf(Files(remote.url), folder, Listing(remote.root), yields=folder.root == remote.root)


def _each(keys: Sequence[str], move: Callable[[str], Outcome], shelf: Shelf) -> int:
    """Move artifacts, several at a time, and say what became of each; what fails does not keep the others."""
    from harness.core.browse import sized
    from harness.core.remote.crew import Crew

    crew, refused, same = Crew(8), 0, 0
    moving = [(key, crew.ask(lambda key=key: move(key))) for key in keys]  # type: ignore[misc]
    try:
        for key, task in moving:
            try:
                outcome = task.result()
            except JobError as error:
                refused += 1
                print(f"REFUSED  {key[:12]}  {error}", flush=True)
                continue
            if outcome in ("differs", "replaced"):
                refused += 1
                print(f"DIFFERS  {key[:12]}  {shelf.store.peek(key).label}: it is there with other bytes", flush=True)
            elif outcome == "same":
                same += 1
            else:
                manifest = shelf.store.peek(key)
                size = sized(sum(file.bytes for file in manifest.files.values()))
                print(f"{outcome:7}  {key[:12]}  {size:>9}  {manifest.label}", flush=True)
    finally:
        shelf.files.stopping.set()
        crew.dismiss()
    traffic = shelf.traffic
    print(f"{len(keys)} artifacts: {traffic.sent} sent ({sized(traffic.sent_bytes)}), {traffic.fetched} fetched "
          f"({sized(traffic.fetched_bytes)}), {same} were there already, {refused} refused")  # fmt: skip
    return NOT_ALL if refused else 0


# --- the other commands where the store is a URL ---


def learn(store: RemoteStore) -> None:
    """Fetch the manifests of everything that is there, so that it can be looked up here."""
    store.glance(sorted(store.listing.keys))


def rows(store: RemoteStore) -> Iterator[Row]:
    """Yield every artifact at the URL in the order of the keys."""
    from harness.core.browse import Row

    for key, manifest in store.glance(sorted(store.listing.keys)).items():
        size = sum(file.bytes for file in manifest.files.values())
        yield Row(key, manifest.kind, manifest.label, size, len(manifest.files), str(manifest.made.get("when", "")))


def check_all(store: RemoteStore) -> Iterator[Checked]:
    """Read every byte at the URL; what is damaged is put aside there at once and told."""
    from harness.core.store import DamagedError
    from harness.core.tidy import Checked

    for key in sorted(store.listing.keys):
        try:
            manifest = store.shelf.check(key)
        except DamagedError as error:
            yield Checked(key, "", 0, str(error))
        else:
            yield Checked(key, manifest.label, sum(file.bytes for file in manifest.files.values()))


def no_gc(url: str) -> str:
    """Say why nothing is cleared away at a URL, and what can be."""
    from harness.core.places import open_url

    return (
        f"gc clears folders, and {url} is a URL: others may need what no prereg here does. To clear this machine's "
        f"cache of it: prereg store gc --store {open_url(url).root}"
    )
