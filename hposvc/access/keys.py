"""Keys: what a caller shows. Only a hash is kept, so a copy of the database opens nothing.

A key is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hposvc.access.tenants import TenantNotFound
from hposvc.copyable import Copyable
from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import api_keys, sessions, tenants
from hposvc.schema.access import SCOPES, KeyResource, Scope

PREFIX = "hposvc_"  # so that people, and scanners for leaked secrets, see what it is
SESSION_SECONDS = 12 * 3600.0


class KeyNotFound(Copyable, LookupError):
    """There is no such key (of this tenant)."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {key_id}")


@dataclass(frozen=True)
class Identity:
    """Who shows a key: the key's id and name, its tenant, what it allows, and the tenant's own rate limit."""

    key_id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    requests_per_second: float | None


def digest(token: str) -> str:
    """What is kept of a key or of a session's cookie."""
    return hashlib.sha256(token.encode()).hexdigest()


class Keys:
    """What changes keys and sessions."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(self, *, tenant: str, name: str, scope: Scope) -> tuple[KeyResource, str]:
        """Make a key; the second value is the key itself, which nobody can look up again. Raises TenantNotFound."""
        token = PREFIX + secrets.token_urlsafe(32)
        key_id = f"key_{secrets.token_hex(8)}"
        with write(self._engine) as connection:
            if connection.execute(sa.select(tenants.c.id).where(tenants.c.id == tenant)).first() is None:
                raise TenantNotFound(tenant)
            row = connection.execute(
                api_keys.insert()
                .values(id=key_id, tenant_id=tenant, name=name, hash=digest(token), scopes=[scope])
                .returning(api_keys)
            ).one()
        return _resource(row), token

    def revoke(self, key_id: str, *, tenant: str | None = None) -> KeyResource:
        """Make a key open nothing any more, and end its sessions; safe to repeat. Raises KeyNotFound."""
        mine = [api_keys.c.id == key_id] + ([api_keys.c.tenant_id == tenant] if tenant is not None else [])
        with write(self._engine) as connection:
            row = connection.execute(
                api_keys.update()
                .where(*mine)
                .values(revoked_at=sa.func.coalesce(api_keys.c.revoked_at, now()))
                .returning(api_keys)
            ).first()
            if row is None:
                raise KeyNotFound(key_id)
            connection.execute(sessions.delete().where(sessions.c.key_id == key_id))
        return _resource(row)

    def note_use(self, key_ids: Collection[str]) -> None:
        """These keys were used lately; called once in a while for all of them, never by a request."""
        with write(self._engine) as connection:
            connection.execute(api_keys.update().where(api_keys.c.id.in_(key_ids)).values(last_used_at=now()))

    def begin_session(self, identity: Identity) -> str:
        """Begin a session of the dashboard; returns the value of its cookie. Old sessions are removed."""
        token = secrets.token_urlsafe(32)
        with write(self._engine) as connection:
            connection.execute(sessions.delete().where(sessions.c.expires_at <= now()))
            connection.execute(
                sessions.insert().values(hash=digest(token), key_id=identity.key_id, expires_at=now() + SESSION_SECONDS)
            )
        return token

    def end_session(self, token: str) -> None:
        """End a session; one that is over already is no error."""
        with write(self._engine) as connection:
            connection.execute(sessions.delete().where(sessions.c.hash == digest(token)))


def list_(engine: sa.Engine, *, tenant: str | None = None) -> list[KeyResource]:
    """The keys of a tenant, or of all of them, oldest first; revoked ones too."""
    query = api_keys.select().order_by(api_keys.c.created_at, api_keys.c.id)
    if tenant is not None:
        query = query.where(api_keys.c.tenant_id == tenant)
    with read(engine) as connection:
        return [_resource(row) for row in connection.execute(query)]


def get(engine: sa.Engine, key_id: str, *, tenant: str) -> KeyResource:
    """One key. Raises KeyNotFound."""
    query = api_keys.select().where(api_keys.c.id == key_id, api_keys.c.tenant_id == tenant)
    with read(engine) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise KeyNotFound(key_id)
    return _resource(row)


def exist(engine: sa.Engine) -> bool:
    """Whether a key was ever made. Revoked ones count: revoking the last key must not open the service to all."""
    with read(engine) as connection:
        return connection.execute(sa.select(api_keys.c.id).limit(1)).first() is not None


def identify(engine: sa.Engine, token: str) -> Identity | None:
    """Who shows this key, or this session's cookie; None for one that opens nothing."""
    hashed = digest(token)
    of_session = sa.select(sessions.c.key_id).where(sessions.c.hash == hashed, sessions.c.expires_at > now())
    query = (
        sa.select(
            api_keys.c.id, api_keys.c.name, api_keys.c.tenant_id, api_keys.c.scopes, tenants.c.requests_per_second
        )
        .join(tenants, tenants.c.id == api_keys.c.tenant_id)
        .where(
            (api_keys.c.hash == hashed) if token.startswith(PREFIX) else api_keys.c.id.in_(of_session),
            api_keys.c.revoked_at.is_(None),
        )
    )
    with read(engine) as connection:
        row = connection.execute(query).first()
    if row is None:
        return None
    return Identity(row.id, row.name, row.tenant_id, allowed(row.scopes), row.requests_per_second)


def allowed(scopes: Collection[Scope]) -> frozenset[Scope]:
    """What scopes allow: each of them allows what stands before it in SCOPES, too."""
    highest = max(SCOPES.index(scope) for scope in scopes)
    return frozenset(SCOPES[: highest + 1])


def _resource(row: sa.Row[Any]) -> KeyResource:
    return KeyResource(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        scope=SCOPES[len(allowed(row.scopes)) - 1],
        created_at=_time(row.created_at),
        last_used_at=_time(row.last_used_at) if row.last_used_at else None,
        revoked_at=_time(row.revoked_at) if row.revoked_at else None,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
