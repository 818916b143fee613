"""Signing in and out: a key becomes a session, and nothing that a script can read."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from hposvc.access import keys
from tests.support.browser import Watch
from tests.support.serving import Server, submit


def test_a_key_is_traded_for_a_session(page: Page, server: Server, watch: Watch) -> None:
    job = submit(server.engine, name="mine")
    token = keys.Keys(server.engine).create(tenant="default", name="my laptop", scope="submit")[1]
    page.goto(f"/jobs/{job.id}")
    expect(page).to_have_url(re.compile(f"/login\\?next=/jobs/{job.id}$"))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.get_by_label("Your key").fill("hposvc_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("status").filter(has_text="The key is not valid")).to_be_visible()

    page.get_by_label("Your key").fill(token)
    page.get_by_label("Your key").press("Enter")
    expect(page).to_have_url(re.compile(f"/jobs/{job.id}$"))
    expect(page.get_by_role("heading", name="mine")).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})").find(token) < 0
    assert token not in page.url
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")

    page.goto("/login")
    expect(page.get_by_text("With the key “my laptop” of default")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your key")).to_be_visible()
    page.goto("/")
    expect(page).to_have_url(re.compile("/login"))
    watch.forgive("401")


def test_a_session_that_ends_leads_back_to_where_one_was(page: Page, server: Server, watch: Watch) -> None:
    made, token = keys.Keys(server.engine).create(tenant="default", name="my laptop", scope="submit")
    for elsewhere, here in (("//evil.example/x", "/"), ("/.//evil.example/x", "/evil.example/x")):
        page.goto(f"/login?next={elsewhere}")
        page.get_by_label("Your key").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{server.url}{here}")  # never to another site
        page.goto("/login")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Your key")).to_be_visible()
    page.get_by_label("Your key").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{server.url}/")
    watch.forgive("404")
    page.goto("/workers")
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    keys.Keys(server.engine).revoke(made.id)
    expect(page).to_have_url(re.compile("/login\\?next=%2Fworkers"))
    watch.forgive("401")
