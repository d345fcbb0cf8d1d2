"""`/admin/mirror` on the private listener: where a share of the requests is sent again, or nowhere; see `mirrors`.

    PUT    {"url": "http://HOST:PORT", "percent": 10}    from now on; as often as you like; `tolerance` as in `mirrors.Aim`
    GET    what is set, or null
    DELETE no more

Only who may reach the private listener may set it: a mirror carries requests elsewhere. It is not kept: a replica begins without one.
"""

import msgspec

from mlops.serving.answers import Answer, Refusal
from mlops.serving.bodies import Bodies
from mlops.serving.errors import BadRequestError
from mlops.serving.exchanges import Answering, Exchange, Scope
from mlops.serving.limits import Limits
from mlops.serving.mirrors import Aim
from mlops.serving.observing import Observing
from mlops.serving.protocols import decode_as, encode

_PATH = "/admin/mirror"
_METHODS = ("GET", "PUT", "DELETE")
_decoder = msgspec.json.Decoder(Aim)


class Private:
    """An application as it answers on the private listener: as in public, and the mirror's path."""

    def __init__(self, application: Answering, observing: Observing, limits: Limits) -> None:
        """Stand before `application`."""
        self._application = application
        self._observing = observing
        self._bodies = Bodies(limits)

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        if scope.path.rstrip("/") != _PATH:
            await self._application.__rsgi__(scope, exchange)
            return
        try:
            answer = await self._answer(scope, exchange)
        except Refusal as refusal:
            answer = refusal.answer
        except BadRequestError as error:
            answer = Refusal(400, str(error)).answer
        exchange.response_bytes(answer.status, [("content-type", answer.content_type), *answer.headers], answer.body)

    async def _answer(self, scope: Scope, exchange: Exchange) -> Answer:
        if scope.method not in _METHODS:
            raise Refusal(405, f"{_PATH} takes {', '.join(_METHODS)}, not {scope.method}", ("allow", ", ".join(_METHODS)))
        if scope.method == "PUT":
            body = await self._bodies.read(scope.headers, exchange)
            self._observing.aim(decode_as(_decoder, body, "the form of a mirror"))
        elif scope.method == "DELETE":
            self._observing.aim(None)
        mirror = self._observing.mirror
        return Answer(200, encode(mirror.aim if mirror else None))
