"""The schema language: what is read, and that it means what protoc makes of it."""

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.rpc.schema import descriptor

HEAD = 'syntax = "proto3";\npackage p;\n'
Field = descriptor_pb2.FieldDescriptorProto


def made(text):
    """The message classes of a schema by name."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor("p.proto", HEAD + text)
    pool.AddSerializedFile(file.SerializeToString())
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"p.{name}"))


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("double", Field.TYPE_DOUBLE), ("float", Field.TYPE_FLOAT), ("int32", Field.TYPE_INT32),
        ("int64", Field.TYPE_INT64), ("uint32", Field.TYPE_UINT32), ("uint64", Field.TYPE_UINT64),
        ("bool", Field.TYPE_BOOL), ("string", Field.TYPE_STRING), ("bytes", Field.TYPE_BYTES),
    ],
)  # fmt: skip
def test_each_scalar_has_its_type(kind, number):
    file = descriptor("p.proto", f"{HEAD}message M {{ {kind} x = 3; repeated {kind} y = 4; }}")
    one, many = file.message_type[0].field
    assert (one.type, one.number, one.label) == (number, 3, Field.LABEL_OPTIONAL)
    assert (many.type, many.number, many.label) == (number, 4, Field.LABEL_REPEATED)


def test_package_syntax_and_imports_are_kept():
    file = descriptor("p.proto", f'{HEAD}import "a/b.proto";\nimport "c.proto";')
    assert (file.name, file.package, file.syntax) == ("p.proto", "p", "proto3")
    assert list(file.dependency) == ["a/b.proto", "c.proto"]


def test_nested_messages_and_enums_are_found_from_within():
    text = """
    message Outer {
      message Inner { int64 size = 1; }
      enum Kind { NONE = 0; SOME = 7; }
      repeated Inner inner = 1;
      Kind kind = 2;
      p.Outer.Inner full = 3;
    }
    """
    outer = made(text)("Outer")
    one = outer(kind=7)
    one.inner.add(size=5)
    one.full.size = 6
    again = outer.FromString(one.SerializeToString())
    assert (again.inner[0].size, again.full.size, again.kind) == (5, 6, 7)


def test_a_map_is_a_map():
    kind = made("message V { double x = 1; } message M { map<string, V> two_words = 4; }")("M")
    one = kind()
    one.two_words["a"].x = 1.5
    assert kind.FromString(one.SerializeToString()).two_words["a"].x == 1.5
    assert kind.DESCRIPTOR.nested_types[0].name == "TwoWordsEntry"
    assert kind.DESCRIPTOR.nested_types[0].GetOptions().map_entry


def test_of_a_oneof_the_last_one_set_is_there():
    kind = made("message M { oneof choice { int64 a = 1; string b = 2; } bool c = 3; }")("M")
    one = kind(a=4, c=True)
    assert one.WhichOneof("choice") == "a"
    one.b = "x"
    assert (one.WhichOneof("choice"), one.a, one.c) == ("b", 0, True)


def test_services_say_what_streams():
    text = """
    message A {} message B {}
    service S {
      rpc One(A) returns (B);
      rpc Down(A) returns (stream B);
      rpc Up(stream A) returns (B);
    }
    """
    service = descriptor("p.proto", HEAD + text).service[0]
    found = [
        (method.name, method.input_type, method.output_type,
         method.client_streaming, method.server_streaming)
        for method in service.method
    ]  # fmt: skip
    assert found == [
        ("One", "A", "B", False, False),
        ("Down", "A", "B", False, True),
        ("Up", "A", "B", True, False),
    ]


def test_comments_are_no_part_of_it():
    file = descriptor("p.proto", f"// message X {{}}\n{HEAD}message M {{}} // end\n")
    assert [message.name for message in file.message_type] == ["M"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("option java_package = 1;", "'option' is not read"),
        ("message M { int64 x 1; }", "'1' where '=' belongs"),
        ("message M [ ]", "no part of a schema"),
        ("message M { int64 x = 1 [packed = true]; }", "no part of a schema"),
        ('syntax = "proto2";', "'\"proto2\"' where"),
        ("service S { rpc A(B) gives (C); }", "'gives' where 'returns' belongs"),
    ],
)
def test_what_is_not_read_is_refused(text, told):
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        descriptor("p.proto", text)


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
SCALARS = st.sampled_from(["double", "int64", "string", "bool", "bytes", "uint32"])


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(SCALARS, st.booleans()), max_size=12))
def test_any_flat_message_is_read(fields):
    lines = [
        f"{'repeated ' if many else ''}{kind} {name} = {number};"
        for number, (name, (kind, many)) in enumerate(fields.items(), 1)
    ]
    kind = made(f"message M {{ {' '.join(lines)} }}")("M")
    assert [field.name for field in kind.DESCRIPTOR.fields] == list(fields)
    assert [field.number for field in kind.DESCRIPTOR.fields] == list(range(1, len(fields) + 1))


def test_protobufs_own_schema_of_any_reads_the_same():
    """The descriptor of a file that protoc compiled, and ours of the same text."""
    text = HEAD + "message Any { string type_url = 1; bytes value = 2; }"
    ours, theirs = descriptor("any", text), descriptor_pb2.FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(theirs)
    assert [(field.name, field.number, field.type) for field in ours.message_type[0].field] == [
        (field.name, field.number, field.type) for field in theirs.message_type[0].field
    ]
