import pytest

# Before anything imports it: what it asserts should say what it saw, as a test's own assertions do.
pytest.register_assert_rewrite("tests.parts.mails")
