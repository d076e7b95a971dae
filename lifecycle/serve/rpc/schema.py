r"""Protocol Buffers' schema language to descriptors, without a compiler and its generated code.

>>> text = 'syntax = "proto3"; package p; message Point { double x = 1; repeated int64 tags = 2; }'
>>> file = descriptor("p.proto", text)
>>> [(field.name, field.number) for field in file.message_type[0].field]
[('x', 1), ('tags', 2)]

As much of proto3 as the files beside this one use: messages, enums, oneof, map, repeated, imports
and services; https://protobuf.dev/reference/protobuf/proto3-spec/ is the grammar. Options and
comments between `/*` and `*/` are not read.
"""

import re
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

_TOKEN = re.compile(r'\s+|//[^\n]*|("[^"]*"|[\w.]+|[{}()<>=;,])')
_SCALARS = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}


def descriptor(name: str, text: str) -> FileDescriptorProto:
    """The descriptor of one file.

    Args:
        name: how other files import it.
        text: the schema.

    Raises:
        ValueError: something that the grammar above does not have.
    """
    return _Parser(name, text).file


class _Parser:
    def __init__(self, name: str, text: str) -> None:
        self.file = FileDescriptorProto(name=name, syntax="proto3")
        self._tokens = list(_tokens(text))
        self._tokens.reverse()
        while self._tokens:
            self._statement(self._tokens.pop())

    def _statement(self, word: str) -> None:
        if word == "syntax":
            self._expect("=")
            self._expect('"proto3"')
            self._expect(";")
        elif word == "package":
            self.file.package = self._tokens.pop()
            self._expect(";")
        elif word == "import":
            self.file.dependency.append(self._tokens.pop().strip('"'))
            self._expect(";")
        elif word == "message":
            self._message(self.file.message_type.add())
        elif word == "enum":
            self._enum(self.file.enum_type.add())
        elif word == "service":
            self._service(self.file.service.add())
        else:
            raise ValueError(f"{self.file.name}: {word!r} is not read here")

    def _message(self, message: DescriptorProto) -> None:
        message.name = self._tokens.pop()
        self._expect("{")
        while (word := self._tokens.pop()) != "}":
            if word == "message":
                self._message(message.nested_type.add())
            elif word == "enum":
                self._enum(message.enum_type.add())
            elif word == "oneof":
                message.oneof_decl.add(name=self._tokens.pop())
                self._expect("{")
                while (kind := self._tokens.pop()) != "}":
                    field = self._field(message, kind)
                    field.oneof_index = len(message.oneof_decl) - 1
            elif word == "map":
                self._map(message)
            elif word == "repeated":
                self._field(message, self._tokens.pop(), FieldDescriptorProto.LABEL_REPEATED)
            else:
                self._field(message, word)

    def _field(
        self,
        message: DescriptorProto,
        kind: str,
        label: int = FieldDescriptorProto.LABEL_OPTIONAL,
    ) -> FieldDescriptorProto:
        field: FieldDescriptorProto = message.field.add(name=self._tokens.pop(), label=label)
        _typed(field, kind)
        self._expect("=")
        field.number = int(self._tokens.pop())
        self._expect(";")
        return field

    def _map(self, message: DescriptorProto) -> None:
        """A map is a repeated message of key and value, made for the field."""
        self._expect("<")
        key = self._tokens.pop()
        self._expect(",")
        value = self._tokens.pop()
        self._expect(">")
        words = self._tokens[-1].split("_")
        entry = message.nested_type.add(name="".join(map(str.capitalize, words)) + "Entry")
        entry.options.map_entry = True
        label = FieldDescriptorProto.LABEL_OPTIONAL
        _typed(entry.field.add(name="key", number=1, label=label), key)
        _typed(entry.field.add(name="value", number=2, label=label), value)
        self._field(message, entry.name, FieldDescriptorProto.LABEL_REPEATED)

    def _enum(self, enum: EnumDescriptorProto) -> None:
        enum.name = self._tokens.pop()
        self._expect("{")
        while (name := self._tokens.pop()) != "}":
            self._expect("=")
            enum.value.add(name=name, number=int(self._tokens.pop()))
            self._expect(";")

    def _service(self, service: ServiceDescriptorProto) -> None:
        service.name = self._tokens.pop()
        self._expect("{")
        while self._tokens.pop() == "rpc":
            method = service.method.add(name=self._tokens.pop())
            method.input_type, method.client_streaming = self._argument()
            self._expect("returns")
            method.output_type, method.server_streaming = self._argument()
            self._expect(";")

    def _argument(self) -> tuple[str, bool]:
        self._expect("(")
        name = self._tokens.pop()
        streams = name == "stream"
        if streams:
            name = self._tokens.pop()
        self._expect(")")
        return name, streams

    def _expect(self, wanted: str) -> None:
        found = self._tokens.pop()
        if found != wanted:
            raise ValueError(f"{self.file.name}: {found!r} where {wanted!r} belongs")


def _typed(field: FieldDescriptorProto, kind: str) -> None:
    """Give a field its type; the pool finds out whether a name is a message's or an enum's."""
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type_name = kind


def _tokens(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"{text[place : place + 20]!r} is no part of a schema")
        if found[1]:
            yield found[1]
        place = found.end()
