"""What a person sees where there is no page: words and a way back, not a bare line."""

import pytest
from django.test import Client, RequestFactory
from django.views.defaults import server_error

pytestmark = [pytest.mark.component, pytest.mark.django_db]


def test_an_address_with_nothing_says_so(client):
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.content.decode()
    assert 'href="/"' in answer.content.decode()


def test_a_form_that_is_too_old_says_what_to_do():
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "op"})
    assert answer.status_code == 403
    assert "Please load the page again" in answer.content.decode()


def test_a_fault_of_ours_is_owned():
    answer = server_error(RequestFactory().get("/"))
    assert answer.status_code == 500
    assert "Something went wrong here" in answer.content.decode()
