"""Every declared job type keeps to the contract."""

import pytest

from vitreous.jobs import registry
from vitreous.testing.contracts import JobContract


class TestEveryJobType(JobContract):
    @pytest.fixture(params=registry.all_types(), ids=lambda job_type: job_type.word)
    def job_type(self, request):
        return request.param
