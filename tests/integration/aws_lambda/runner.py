"""A process as Lambda's: the unpacked zip, the runtime's boto3, and nothing else. Prints the answer or the error.

python -I -S runner.py ZIP_FOLDER RUNTIME_FOLDER SECONDS < event.json
"""

import json
import os
import sys
import time

sys.path[:0] = sys.argv[1:3]
END = time.monotonic() + float(sys.argv[3])


class Context:
    function_name = "follow"
    aws_request_id = "11111111-2222-4333-8444-555555555555"

    def get_remaining_time_in_millis(self) -> int:
        return int((END - time.monotonic()) * 1000)


began = time.monotonic()
import cloudindex_provider.aws_lambda  # noqa: E402 - what is measured

imported = time.monotonic() - began
if "KILLED_AT_ITS_UPLOAD" in os.environ:
    from cloudindex_provider.api.client import CloudIndexClient

    CloudIndexClient.upload_documents = lambda *_, **__: os._exit(137)  # type: ignore[method-assign]
answers: list[object] = []
for event in json.load(sys.stdin):
    try:
        answers.append(cloudindex_provider.aws_lambda.handler(event, Context()))
    except Exception as error:  # noqa: BLE001 - as Lambda does, which reports it
        answers.append(f"{type(error).__name__}: {error}")
roots = sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))
print(json.dumps({"answers": answers, "roots": roots, "import_seconds": imported}))
