"""Checks of schemathesis for the API: no answer is a fault of the recorder.

500 is one in any case. Other answers from 500 on say that something outside does not work (a camera, a disk, a provider), and
have to be foretold by the description of the request.
"""

import schemathesis


@schemathesis.check
def no_fault(ctx, response, case):
    status = response.status_code
    if status < 500:
        return
    foretold = case.operation.definition.raw.get("responses", {})
    assert status != 500 and str(status) in foretold, f"{status}: {response.text[:500]}"
