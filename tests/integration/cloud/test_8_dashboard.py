"""The dashboard, as somebody sees it in a browser."""

import json

import browser
import pytest
from selenium.webdriver.common.by import By

SIGN_OUT = "form[action='/auth/logout/']"


@pytest.fixture(scope="module")
def dashboard(configured):
    """Where the dashboard is, and the demo user's credentials, as helio tells them."""
    browser.ensure_installed()
    return json.loads(configured.helio("dashboard", "--user", "demo", "--format", "json"))


def fill_in(page, dashboard, password):
    for name, text in (
        ("domain", dashboard["domain"]),
        ("username", dashboard["username"]),
        ("password", password),
    ):
        field = page.find_element(By.ID, f"id_{name}")
        field.clear()
        field.send_keys(text)
    page.find_element(By.ID, "loginBtn").click()


def test_the_demo_user_sees_the_instance_and_logs_out(configured, guest, dashboard):
    with browser.opened(configured.home / "ca.pem") as page:
        page.get(dashboard["url"])
        fill_in(page, dashboard, dashboard["password"])
        page.find_element(By.CSS_SELECTOR, SIGN_OUT)

        page.get(dashboard["url"] + "project/instances/")
        row = page.find_element(By.CSS_SELECTOR, f"tr[data-object-id='{guest.id}']")
        assert guest.name in row.text
        assert guest.floating_ip in row.text
        assert "Active" in row.text

        session = page.get_cookie("sessionid")
        page.find_element(By.CSS_SELECTOR, SIGN_OUT).submit()
        page.find_element(By.ID, "loginBtn")
        page.add_cookie({key: session[key] for key in ("name", "value", "path", "secure")})
        page.get(dashboard["url"] + "project/instances/")
        assert page.find_element(By.ID, "loginBtn"), (
            "the session has ended, whoever has its cookie"
        )


def test_a_wrong_password_is_refused(configured, dashboard):
    with browser.opened(configured.home / "ca.pem") as page:
        page.get(dashboard["url"])
        fill_in(page, dashboard, "wrong")
        told = page.find_element(By.CSS_SELECTOR, ".alert-danger").text
        assert "Invalid credentials" in told


def test_a_browser_that_does_not_know_the_authority_is_warned(dashboard):
    with browser.opened(None) as page:
        page.get(dashboard["url"])
        assert "ERR_CERT_AUTHORITY_INVALID" in page.find_element(By.TAG_NAME, "body").text
