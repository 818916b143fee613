"""The commands about keys, tenants and webhooks.

Keys and tenants are made on the machine of the service, with its database: whoever runs it needs no key to begin with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hposvc.cli.field_help import Command, of_field
from hposvc.cli.naming import Yes, sure
from hposvc.cli.support import Json, Url, client_of, engine_of, print_json, settings
from hposvc.faults import Exit, Fault

if TYPE_CHECKING:
    from hposvc.schema.access import KeyResource

keys = typer.Typer(no_args_is_help=True, help="Keys that open the service; made with its database, on its machine.")
tenants = typer.Typer(no_args_is_help=True, help="Tenants and their quotas; with the database of the service.")
webhooks = typer.Typer(no_args_is_help=True, help="Where the end of every job is told.")

SCOPES = ["read", "submit", "admin"]
DEFAULT = "default"
WebhookId = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="The webhook's id, as `hposvc webhooks list` shows it.")
]
QUOTA = "Give a number, or `default`."


@keys.command("create", cls=Command)
def keys_create(
    name: Annotated[str, typer.Option(help=of_field("access.KeyRequest.name"))],
    scope: Annotated[
        str, typer.Option(help=of_field("access.KeyRequest.scope"), autocompletion=lambda: SCOPES)
    ] = "submit",
    tenant: Annotated[str, typer.Option(help="Whose jobs it opens.")] = DEFAULT,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once. From the first key on, the service asks everybody for one."""
    from hposvc.access import keys as access
    from hposvc.access.tenants import TenantNotFound

    if scope not in SCOPES:
        raise Fault(f"there is no scope {scope!r}", f"Choose one of {', '.join(SCOPES)}.", code=Exit.USAGE)
    if not 0 < len(name) <= 200:
        raise Fault("a key's name has 1 to 200 characters", "Say what the key is for.", code=Exit.USAGE)
    with engine_of(settings()) as engine:
        try:
            before = [key for key in access.list_(engine) if key.revoked_at is None]
            made, token = access.Keys(engine).create(tenant=tenant, name=name, scope=scope)  # type: ignore[arg-type]
        except TenantNotFound as error:
            raise Fault(str(error), code=Exit.REFUSED) from error
    if as_json:
        print_json(made.model_dump(mode="json") | {"key": token})
        return
    typer.echo(token)
    typer.echo(f"{made.id} ({scope}, tenant {tenant}). It is shown this once. Use it: export HPOSVC_KEY=…", err=True)
    if before:
        typer.echo(f"There before: {_named(before)}. Revoke what nobody here made: hposvc keys revoke KEY", err=True)
    else:
        typer.echo("It is the only key: from now on the service asks everybody for one.", err=True)


def _named(found: list[KeyResource], most: int = 10) -> str:
    """Keys for people, the newest first."""
    shown = [f"{key.id} ({key.name!r}, {key.scope}, tenant {key.tenant})" for key in reversed(found)][:most]
    return ", ".join(shown) + (f" and {len(found) - most} more" if len(found) > most else "")


@keys.command("list")
def keys_list(
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None, as_json: Json = False
) -> None:
    """List the keys, without what opens the service."""
    from hposvc.access import keys as access

    with engine_of(settings()) as engine:
        found = access.list_(engine, tenant=tenant)
    if as_json:
        print_json([key.model_dump(mode="json") for key in found])
        return
    rows = [
        (key.id, key.tenant, key.name, key.scope, _when(key.created_at), _when(key.last_used_at), _when(key.revoked_at))
        for key in found
    ]
    _table(
        ("key", "tenant", "name", "scope", "made", "last used", "revoked"), rows, "No keys: nobody is asked for one."
    )


@keys.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `hposvc keys list` shows it.")],
    yes: Yes = False,
) -> None:
    """Make a key open nothing any more. Processes that just saw it believe it for five seconds more."""
    from hposvc.access import keys as access

    sure(f"Revoke {key_id} for good?", yes=yes, done="revoked")
    with engine_of(settings()) as engine:
        try:
            revoked = access.Keys(engine).revoke(key_id)
        except access.KeyNotFound as error:
            raise Fault(str(error), "`hposvc keys list` shows them.", code=Exit.REFUSED) from error
    typer.echo(f"{revoked.id} is revoked")


@tenants.command("create")
def tenants_create(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Its id: a-z, 0-9, - and _.")],
    name: Annotated[str, typer.Option(help="Its name, for people.")] = "",
) -> None:
    """Make a tenant: jobs, data sets and keys of their own, which no other tenant sees."""
    from hposvc.access import tenants as access

    with engine_of(settings()) as engine:
        try:
            access.Tenants(engine).create(tenant, name=name)
        except access.TenantExists as error:
            raise Fault(str(error), code=Exit.REFUSED) from error
    typer.echo(f"{tenant} is made; a key: hposvc keys create --tenant {tenant} --name …")


@tenants.command("list")
def tenants_list(as_json: Json = False) -> None:
    """List the tenants, what they use and what they may use."""
    from hposvc.access import tenants as access

    found_settings = settings()
    with engine_of(found_settings) as engine:
        found = access.list_(engine, access.defaults(found_settings))
    if as_json:
        print_json([tenant.model_dump(mode="json") for tenant in found])
        return
    rows = [
        (
            tenant.id,
            tenant.name,
            *(_of(usage) for usage in (tenant.queued_jobs, tenant.running_jobs, tenant.stored_bytes)),
            "–" if tenant.requests_per_second is None else f"{tenant.requests_per_second:g}",
        )
        for tenant in found
    ]
    _table(("tenant", "name", "queued jobs", "running jobs", "stored bytes", "requests/s"), rows, "")


@tenants.command("set", cls=Command)
def tenants_set(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Its id, as `hposvc tenants list` shows it.")],
    queued_jobs: Annotated[str | None, typer.Option(help=of_field("access.TenantResource.queued_jobs", QUOTA))] = None,
    running_jobs: Annotated[
        str | None, typer.Option(help=of_field("access.TenantResource.running_jobs", QUOTA))
    ] = None,
    stored_bytes: Annotated[
        str | None, typer.Option(help=of_field("access.TenantResource.stored_bytes", QUOTA))
    ] = None,
    requests_per_second: Annotated[
        str | None, typer.Option(help=of_field("access.TenantResource.requests_per_second", QUOTA))
    ] = None,
) -> None:
    """Give a tenant quotas of its own; `default` goes back to those of the settings."""
    from hposvc.access import tenants as access

    given = {
        "queued_jobs": queued_jobs,
        "running_jobs": running_jobs,
        "stored_bytes": stored_bytes,
        "requests_per_second": requests_per_second,
    }
    values = {name: _quota(name, text) for name, text in given.items() if text is not None}
    if not values:
        raise Fault("nothing to set", "Give at least one quota; see --help.", code=Exit.USAGE)
    with engine_of(settings()) as engine:
        try:
            access.Tenants(engine).set_quotas(tenant, values)
        except access.TenantNotFound as error:
            raise Fault(str(error), code=Exit.REFUSED) from error
    typer.echo(f"{tenant} has its quotas")


def _quota(name: str, text: str) -> float | None:
    if text == DEFAULT:
        return None
    try:
        value = float(text) if name == "requests_per_second" else int(text)
    except ValueError:
        value = -1
    if not (0 < value < 2**53 or (value == 0 and name != "requests_per_second")):
        raise Fault(f"{text!r} is no {name.replace('_', ' ')}", "Give a number, or `default`.", code=Exit.USAGE)
    return value


@webhooks.command("add")
def webhooks_add(
    target: Annotated[str, typer.Argument(metavar="URL", help="An https address that takes POST.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Tell the end of every job to a URL. Prints the secret that signs it, this once."""
    with client_of(url) as client:
        made = client.add_webhook(target)
    if as_json:
        print_json(made)
        return
    typer.echo(made.secret)
    typer.echo(f"{made.id} is told about every job that ends. The secret is shown this once.", err=True)


@webhooks.command("list")
def webhooks_list(url: Url = None, as_json: Json = False) -> None:
    """List the webhooks."""
    with client_of(url) as client:
        found = client.webhooks()
    if as_json:
        print_json([webhook.model_dump(mode="json") for webhook in found])
        return
    _table(("webhook", "url", "made"), [(hook.id, hook.url, _when(hook.created_at)) for hook in found], "No webhooks.")


@webhooks.command("deliveries")
def webhooks_deliveries(webhook_id: WebhookId, url: Url = None, as_json: Json = False) -> None:
    """List what was told to a webhook, newest first, and what came of it."""
    with client_of(url) as client:
        found = client.deliveries(webhook_id)
    if as_json:
        print_json([delivery.model_dump(mode="json") for delivery in found])
        return
    rows = [
        (
            item.id,
            item.type,
            item.job_id or item.experiment_id or "",
            item.state,
            item.attempts,
            item.error or item.status or "",
            _when(item.created_at),
        )
        for item in found
    ]
    _table(("message", "type", "about", "state", "attempts", "answer", "made"), rows, "Nothing was told yet.")


@webhooks.command("rm")
def webhooks_rm(webhook_id: WebhookId, yes: Yes = False, url: Url = None) -> None:
    """Remove a webhook; what waits for it is not told any more."""
    sure(f"Remove {webhook_id} for good?", yes=yes, done="removed")
    with client_of(url) as client:
        client.remove_webhook(webhook_id)
    typer.echo(f"{webhook_id} is removed")


def whoami(url: Url = None, as_json: Json = False) -> None:
    """Show whose key HPOSVC_KEY is, what it allows, and how much of the quotas is used."""
    with client_of(url) as client:
        session, tenant = client.session(), client.tenant()
    if as_json:
        print_json(session | {"quotas": tenant.model_dump(mode="json")})
        return
    who = "no key is asked for" if session["key"] is None else f"key {session['key']!r}"
    typer.echo(f"tenant {session['tenant']}, {who}, allows: {', '.join(session['scopes'])}")
    for name in ("queued_jobs", "running_jobs", "stored_bytes"):
        typer.echo(f"{name.replace('_', ' ')}: {_of(getattr(tenant, name))}")


def _of(usage: Any) -> str:
    return f"{usage.used:,}" if usage.limit is None else f"{usage.used:,} of {usage.limit:,}"


def _when(moment: Any) -> str:
    from hposvc.cli.render import age

    return "–" if moment is None else f"{age(moment)} ago"


def _table(headings: tuple[str, ...], rows: list[tuple[Any, ...]], empty: str) -> None:
    from hposvc.cli.render import console, plain_table

    if rows:
        console().print(plain_table(headings, rows))
    else:
        typer.echo(empty)
