"""Google's speech services over real gRPC, with the published protos: they count what they receive."""

from collections.abc import Iterator
from concurrent import futures
from datetime import timedelta
from typing import Any, Self

import grpc
from google.cloud import speech_v1, speech_v2, texttospeech_v1
from google.longrunning import operations_pb2
from google.protobuf import any_pb2
from google.rpc import status_pb2


class FakeGoogle:
    """Counts audio bytes and characters."""

    def __init__(self) -> None:
        self.audio_bytes = 0
        self.stream_messages = 0
        self.characters = 0
        self.billed_seconds = 15
        self.states_bill = True
        self.refuses: grpc.StatusCode | None = None
        self.breaks_after_answers: int | None = None
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        self.address = ""

    def __enter__(self) -> Self:
        self._server.add_generic_rpc_handlers((self._speech_v1(), self._speech_v2(), self._tts()))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0.2).wait()

    def _bill(self) -> timedelta:
        return timedelta(seconds=self.billed_seconds if self.states_bill else 0)

    def _gate(self, context: grpc.ServicerContext) -> None:
        if self.refuses is not None:
            context.abort(self.refuses, "canary refusal")

    # --- speech v1 ---

    def _speech_v1(self) -> grpc.GenericRpcHandler:
        v1 = speech_v1
        return grpc.method_handlers_generic_handler(
            "google.cloud.speech.v1.Speech",
            {
                "Recognize": _unary(self.recognize_v1, v1.RecognizeRequest, v1.RecognizeResponse),
                "StreamingRecognize": _stream(self.listen_v1, v1.StreamingRecognizeRequest,
                                              v1.StreamingRecognizeResponse),
                "LongRunningRecognize": grpc.unary_unary_rpc_method_handler(
                    self.long_v1, v1.LongRunningRecognizeRequest.deserialize,
                    operations_pb2.Operation.SerializeToString,
                ),
            },
        )  # fmt: skip

    def recognize_v1(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._gate(context)
        self.audio_bytes += len(request.audio.content)
        return speech_v1.RecognizeResponse(
            results=[{"alternatives": [{"transcript": "canary"}]}], total_billed_time=self._bill(), request_id=7
        )

    def listen_v1(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        self._gate(context)
        answers = 0
        for request in requests:
            self.stream_messages += 1
            if not request.audio_content:
                continue
            self.audio_bytes += len(request.audio_content)
            answers += 1
            yield speech_v1.StreamingRecognizeResponse(results=[{"alternatives": [{"transcript": "canary"}]}])
            if answers == self.breaks_after_answers:
                context.abort(grpc.StatusCode.UNAVAILABLE, "canary break")
        yield speech_v1.StreamingRecognizeResponse(total_billed_time=self._bill())

    def long_v1(self, request: Any, context: grpc.ServicerContext) -> operations_pb2.Operation:
        answer = any_pb2.Any()
        answer.Pack(speech_v1.LongRunningRecognizeResponse.pb(
            speech_v1.LongRunningRecognizeResponse(total_billed_time=self._bill())
        ))  # fmt: skip
        return operations_pb2.Operation(name="op", done=True, response=answer)

    # --- speech v2 ---

    def _speech_v2(self) -> grpc.GenericRpcHandler:
        v2 = speech_v2
        return grpc.method_handlers_generic_handler(
            "google.cloud.speech.v2.Speech",
            {
                "Recognize": _unary(self.recognize_v2, v2.RecognizeRequest, v2.RecognizeResponse),
                "StreamingRecognize": _stream(self.listen_v2, v2.StreamingRecognizeRequest,
                                              v2.StreamingRecognizeResponse),
                "BatchRecognize": grpc.unary_unary_rpc_method_handler(
                    self.batch_v2, v2.BatchRecognizeRequest.deserialize, operations_pb2.Operation.SerializeToString
                ),
            },
        )  # fmt: skip

    def recognize_v2(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.audio_bytes += len(request.content)
        return speech_v2.RecognizeResponse(metadata={"total_billed_duration": self._bill(), "request_id": "g2"})

    def listen_v2(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            self.stream_messages += 1
            self.audio_bytes += len(request.audio)
        yield speech_v2.StreamingRecognizeResponse(metadata={"total_billed_duration": self._bill()})

    def batch_v2(self, request: Any, context: grpc.ServicerContext) -> operations_pb2.Operation:
        if self.refuses is not None:
            error = status_pb2.Status(code=self.refuses.value[0], message="canary failure")
            return operations_pb2.Operation(name="op", done=True, error=error)
        answer = any_pb2.Any()
        answer.Pack(speech_v2.BatchRecognizeResponse.pb(
            speech_v2.BatchRecognizeResponse(total_billed_duration=self._bill())
        ))  # fmt: skip
        return operations_pb2.Operation(name="op", done=True, response=answer)

    # --- text to speech ---

    def _tts(self) -> grpc.GenericRpcHandler:
        v1 = texttospeech_v1
        return grpc.method_handlers_generic_handler(
            "google.cloud.texttospeech.v1.TextToSpeech",
            {
                "SynthesizeSpeech": _unary(self.speak, v1.SynthesizeSpeechRequest, v1.SynthesizeSpeechResponse),
                "StreamingSynthesize": _stream(self.speak_stream, v1.StreamingSynthesizeRequest,
                                               v1.StreamingSynthesizeResponse),
            },
        )  # fmt: skip

    def speak(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._gate(context)
        self.characters += len(request.input.text)
        return texttospeech_v1.SynthesizeSpeechResponse(audio_content=b"RIFF")

    def speak_stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            if request.input.text:
                self.characters += len(request.input.text)
                yield texttospeech_v1.StreamingSynthesizeResponse(audio_content=b"chunk")


def _unary(method: Any, request: Any, answer: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(method, request.deserialize, answer.serialize)


def _stream(method: Any, request: Any, answer: Any) -> grpc.RpcMethodHandler:
    return grpc.stream_stream_rpc_method_handler(method, request.deserialize, answer.serialize)
