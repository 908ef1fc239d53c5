"""A client of the service, for Python programs.

>>> client = impasto.Client("http://127.0.0.1:8765")  # doctest: +SKIP
>>> job = client.wait(client.submit("photo.jpg", style="great-wave").id)  # doctest: +SKIP
>>> Path("painted.jpg").write_bytes(client.result(job.id))  # doctest: +SKIP
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from impasto.api import TERMINAL, JobBody, JobList, StyleBody, StyleList
from impasto.errors import RequestError, ServiceError, needs_extra
from impasto.options import DEFAULT_ENGINE

with needs_extra("impasto.Client", "client"):
    import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_POLLED_EVERY = 0.5
_UNAVAILABLE = frozenset({502, 503, 504})


class Client:
    """Sends jobs to a service, and fetches their results."""

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 60.0) -> None:
        """Create a client of the service at ``url``.

        Args:
            url: address of the service, such as 'http://127.0.0.1:8765'.
            key: API key, made by 'impasto keys create', if the service requires one.
            timeout: seconds to wait for one answer.
        """
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def submit(
        self,
        content: str | Path | bytes,
        *,
        style: str | Sequence[str] = (),
        style_image: str | Path | bytes | Sequence[str | Path | bytes] = (),
        mask: str | Path | bytes | Sequence[str | Path | bytes] = (),
        weight: Sequence[float] = (),
        engine: str = DEFAULT_ENGINE,
        format: str | None = None,
        priority: int = 0,
        email: str | None = None,
        webhook: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> JobBody:
        """Send a picture to be painted.

        Args:
            content: the content image: a path, or the bytes of a file.
            style: names of styles of the gallery.
            style_image: style images, each given as a path or as the bytes of a file.
            mask: one mask for each style, in the forms of ``content``: first for the names in ``style``, then for the
                style images. A style applies where its mask is white. The value 'alpha' applies every style where the
                content is not transparent.
            weight: one weight for each style; equal weights if empty.
            engine: name of the engine.
            format: file format of the result, such as 'png'; that of the content if None.
            priority: from -2 (first) to 2 (last).
            email: address to which the result is sent.
            webhook: URL that is notified when the job has ended.
            idempotency_key: requests with the same key make one job, so a request can be repeated safely.
            **options: options of the engine, by name.

        Raises:
            RequestError: the service or a proxy answered with an error status.
            ServiceError: the service cannot be reached.
        """
        styles = [style] if isinstance(style, str) else list(style)
        images = [style_image] if isinstance(style_image, (str, Path, bytes)) else list(style_image)
        transparency = mask == "alpha"
        masks = [] if transparency else [mask] if isinstance(mask, (str, Path, bytes)) else list(mask)
        fields = {
            "engine": engine,
            "format": format,
            "priority": priority,
            "email": email,
            "webhook": webhook,
            "mask_alpha": True if transparency else None,
            **options,
        }
        data: dict[str, Any] = {name: str(value) for name, value in fields.items() if value is not None}
        data |= {"style": styles, "weight": [str(each) for each in weight]}
        files = [("content", _bytes(content))]
        files += [("style_image", _bytes(image)) for image in images] + [("mask", _bytes(each)) for each in masks]
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return JobBody.model_validate_json(
            self._send("POST", "/v1/jobs", data=data, files=files, headers=headers).content
        )

    def job(self, job: str) -> JobBody:
        """Return the state and the progress of a job.

        Raises:
            RequestError: there is no such job.
            ServiceError: the service cannot be reached.
        """
        return JobBody.model_validate_json(self._send("GET", f"/v1/jobs/{job}").content)

    def jobs(self, *, state: str | None = None) -> Iterator[JobBody]:
        """Iterate over your jobs, latest first."""
        before: str | None = None
        while True:
            parameters = {name: value for name, value in (("state", state), ("before", before)) if value is not None}
            page = JobList.model_validate_json(self._send("GET", "/v1/jobs", params=parameters).content)
            yield from page.jobs
            if page.next is None:
                return
            before = page.next

    def wait(
        self, job: str, *, on_change: Callable[[JobBody], None] | None = None, timeout: float | None = None
    ) -> JobBody:
        """Wait until a job has ended, and return it. If the service is unavailable for a while, keep waiting.

        Args:
            job: id of the job.
            on_change: called with the job at the start and after every change.
            timeout: longest time to wait, in seconds; no limit if None.

        Raises:
            TimeoutError: the job has not ended within ``timeout``.
            RequestError: there is no such job.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                for body in self._events(job, deadline):
                    if on_change is not None:
                        on_change(body)
                    if body.state in TERMINAL:
                        return body
                    if deadline is not None and time.monotonic() > deadline:
                        break
            except httpx.TransportError:  # the service may be restarting
                pass
            except RequestError as error:
                if error.status not in _UNAVAILABLE:
                    raise
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"job {job} has not ended within {timeout:g} seconds")
            time.sleep(_POLLED_EVERY)

    def result(self, job: str) -> bytes:
        """Return the painted picture of a job that has succeeded, as the bytes of a file.

        Raises:
            RequestError: the job has no result.
            ServiceError: the service cannot be reached.
        """
        return self._send("GET", f"/v1/jobs/{job}/result").content

    def cancel(self, job: str) -> JobBody:
        """Cancel a job."""
        return JobBody.model_validate_json(self._send("POST", f"/v1/jobs/{job}/cancel").content)

    def retry(self, job: str) -> JobBody:
        """Queue a failed or canceled job again."""
        return JobBody.model_validate_json(self._send("POST", f"/v1/jobs/{job}/retry").content)

    def delete(self, job: str) -> None:
        """Cancel a job if it is not finished, and delete everything about it."""
        self._send("DELETE", f"/v1/jobs/{job}")

    def styles(self) -> list[StyleBody]:
        """Return the styles of the gallery."""
        return StyleList.model_validate_json(self._send("GET", "/v1/styles").content).styles

    def _events(self, job: str, deadline: float | None) -> Iterator[JobBody]:
        """Yield the current state of the job, and its state after every change."""
        silence = None if deadline is None else max(0.1, deadline - time.monotonic())
        timeout = httpx.Timeout(self._http.timeout.connect, read=silence)
        with self._http.stream("GET", f"/v1/jobs/{job}/events", timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                raise _refused(answer)
            for line in answer.iter_lines():
                name, _, value = line.partition(":")
                if name == "data":
                    yield JobBody.model_validate_json(value)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ServiceError(f"the service cannot be reached ({type(error).__name__}); try again later") from error
        if answer.is_error:
            raise _refused(answer)
        return answer


def _refused(answer: httpx.Response) -> RequestError:
    try:
        problem: Mapping[str, Any] = answer.json()
        return RequestError(answer.status_code, str(problem["code"]), str(problem["detail"]))
    except (json.JSONDecodeError, KeyError, TypeError):
        return RequestError(answer.status_code, "http", f"the service answered {answer.status_code}")


def _bytes(picture: str | Path | bytes) -> bytes:
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()
