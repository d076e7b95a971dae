"""Check the set-up and what is recorded, and hand it on: verify, export, transfer, card, doctor."""

from typing import Any

import click

from lifecycle.cli.group import name_argument, name_of, named, verb
from lifecycle.config import Config


@verb
@name_argument
@click.option("--head", metavar="FILE|DIGEST", help="A head that was kept elsewhere.")
@click.option("--folder", metavar="DIR", help="Check an exported folder; no registry is needed.")
def verify(config: Config, *, name: str, head: str | None, folder: str | None) -> Any:
    """Check ledger, files and aliases, or an exported folder."""
    if folder is not None:
        if name:
            raise click.UsageError("give a NAME or --folder, not both")
        from lifecycle.workflows.export import verify_folder

        return verify_folder(folder, head=head or "")
    config = named(config, name)
    from lifecycle.workflows.verify import verify

    return verify(config, head=head)


@verb
@click.argument("ref", metavar="REF|NAME", required=False, default="")
@click.option("--audit", required=True, metavar="DIR", help="A folder that is not there yet.")
@click.option("--year", type=int, metavar="N", help="Only what happened in it, UTC.")
@click.option("--files", is_flag=True, help="Copy the model's files, not their digests alone.")
def export(config: Config, *, ref: str, audit: str, year: int | None, files: bool) -> Any:
    """Write a version's or a year's evidence, to check offline."""
    config = named(config, name_of(ref) if ref else "")
    from lifecycle.workflows.export import export_audit

    return export_audit(config, audit, ref=ref, year=year, files=files)


@verb
@click.argument("ref")
@click.option("--registry", required=True, metavar="URI", help="MLflow's address of the other.")
@click.option("--name", default="", metavar="N", help="Of the model there; else as here.")
def transfer(config: Config, *, ref: str, registry: str, name: str) -> Any:
    """Carry a version with its evidence to another registry, once."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.transfer import transfer

    return transfer(config, ref, to=registry, name=name)


@verb
@click.argument("ref")
@click.option("--output", metavar="FILE", help="Write it there: F.md or F.html.")
def card(config: Config, *, ref: str, output: str | None) -> Any:
    """Print a version's model card, made of what is recorded."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.card import card

    return card(config, ref, output=output)


@verb
@click.argument("ref")
@click.option("--data", metavar="FILE", help="The rows, where they are not where they were.")
@click.option("--validation", metavar="FILE", help="The rows held out, where given apart.")
@click.option("--strict", is_flag=True, help="Refuse where code or packages are not the same.")
def reproduce(
    config: Config, *, ref: str, data: str | None, validation: str | None, strict: bool
) -> Any:
    """Train a version again on its recorded rows and compare."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.reproduce import reproduce

    return reproduce(config, ref, data=data, validation=validation, strict=strict)


@verb
@click.argument("ref")
def sign(config: Config, *, ref: str) -> Any:
    """Vouch for a version with the key of [signing]."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.register import sign

    return sign(config, ref)


@verb
@click.argument("file")
def signing_key(_config: Config, *, file: str) -> Any:
    """Make a pair of keys: private in FILE, public in FILE.pub."""
    from lifecycle.records import SigningKey
    from lifecycle.stores.signing import make

    return SigningKey(file, f"{file}.pub", make(file))


@verb
@click.option("--fix", is_flag=True, help="Mend what can be mended safely.")
def doctor(config: Config, *, fix: bool) -> Any:
    """Check the set-up and say what to do about what is wrong."""
    from lifecycle.workflows.doctor import doctor

    return doctor(config, fix=fix)
