use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Parsed {
    parse(bytes, &Limits::default())
}

fn values(bytes: &[u8]) -> Vec<Value> {
    let parsed = read(bytes);
    assert_eq!(parsed.error, None);
    parsed.values
}

fn short(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// `depth` objects, each in the one before it, and everything closed at the end.
fn nested_objects(depth: usize) -> Vec<u8> {
    let mut bytes = [&[3][..], &short("a")].concat().repeat(depth);
    bytes.push(5);
    bytes.extend([0, 0, 9].repeat(depth));
    bytes
}

// R28, Q1: 3,200 objects within each other in 12.8 kB, and the same with arrays.
#[test]
fn depth_has_a_ceiling_and_costs_no_stack() {
    assert_eq!(read(&nested_objects(16)).error, None);
    let too_deep = Some(AmfError::TooDeep { max: 16 });
    assert_eq!(read(&nested_objects(17)).error, too_deep);
    assert_eq!(read(&[3, 0, 1, b'a'].repeat(3_200)).error, too_deep);
    assert_eq!(read(&[10, 0, 0, 0, 1].repeat(9_000)).error, too_deep);
    assert_eq!(read(&[8, 0, 0, 0, 1, 0, 1, b'a'].repeat(3_200)).error, too_deep);

    let limits = Limits { amf_depth_max: usize::MAX, ..Limits::default() };
    let parsed = parse(&[3, 0, 1, b'a'].repeat(3_200), &limits);
    assert_eq!(parsed.error, Some(AmfError::TooManyValues { max: 1_000 }));
}

// R28, Q9: a message of nulls has a ceiling of values.
#[test]
fn values_have_a_ceiling() {
    assert_eq!(read(&[5].repeat(1_000)).values.len(), 1_000);
    let parsed = read(&[5].repeat(1_001));
    assert_eq!(parsed.error, Some(AmfError::TooManyValues { max: 1_000 }));
    let max = 64 * 1024;
    assert_eq!(read(&vec![5; max + 1]).error, Some(AmfError::TooLong { got: max + 1, max }));
    let in_array = [&[10, 0, 0, 4, 0][..], &[5].repeat(1_024)].concat();
    assert_eq!(read(&in_array).error, Some(AmfError::TooManyValues { max: 1_000 }));
}

// R28: strings have a ceiling, at the very byte.
#[test]
fn strings_have_a_ceiling() {
    let at = "x".repeat(16 * 1024);
    assert_eq!(values(&[&[2][..], &short(&at)].concat()), [Value::String(at)]);
    let above = [&[2][..], &short(&"x".repeat(16 * 1024 + 1))].concat();
    let error = AmfError::StringTooLong { got: 16 * 1024 + 1, max: 16 * 1024 };
    assert_eq!(read(&above).error, Some(error));
    let claims = [0x0C, 0xFF, 0xFF, 0xFF, 0xFF, b'x'];
    assert!(read(&claims).error.is_some_and(|error| error.is_ceiling()));
}

// R29: a count that lies reserves no memory.
#[test]
fn counts_are_hints() {
    let mut array = vec![8, 0xFF, 0xFF, 0xFF, 0xFF];
    array.extend(short("a"));
    array.extend([5, 0, 0, 9]);
    assert_eq!(values(&array), [Value::object([("a", Value::Null)])]);
    assert_eq!(read(&[10, 0xFF, 0xFF, 0xFF, 0xFF, 5]).error, Some(AmfError::Truncated));
    assert_eq!(values(&[10, 0, 0, 0, 0]), [Value::Array(Vec::new())]);
}

// R29: of equal names the last one wins.
#[test]
fn of_equal_names_the_last_wins() {
    let mut bytes = vec![3];
    for number in [1_u8, 2] {
        bytes.extend(short("a"));
        bytes.extend([1, number - 1]);
    }
    bytes.extend([0, 0, 9]);
    let object = values(&bytes).remove(0);
    assert_eq!(object.as_object().unwrap().get("a"), Some(&Value::Boolean(true)));
    assert_eq!(values(&render(&[object])), [Value::object([("a", Value::Boolean(true))])]);
}

// R31, Q12: types and texts that made the public library give up.
#[test]
fn rare_types_are_read() {
    let date = [&[0x0B][..], &1.5_f64.to_be_bytes(), &[0, 0]].concat();
    assert_eq!(values(&date), [Value::Date(1.5)]);
    assert_eq!(values(&[0x0C, 0, 0, 0, 2, b'h', b'i']), [Value::from("hi")]);
    assert_eq!(values(&[0x0F, 0, 0, 0, 2, b'<', b'>']), [Value::from("<>")]);
    assert_eq!(values(&[0x07, 0, 0]), [Value::Undefined]);
    assert_eq!(values(&[0x0D]), [Value::Undefined]);
    let typed = [&[0x10][..], &short("Kind"), &short("a"), &[5, 0, 0, 9]].concat();
    assert_eq!(values(&typed), [Value::object([("a", Value::Null)])]);
    assert_eq!(values(&[2, 0, 2, 0xC3, b'x']), [Value::from("\u{FFFD}x")]);
}

// R31: what was whole before the error is kept, so a command can still be answered.
#[test]
fn errors_keep_the_values_before_them() {
    let connect = render(&[Value::from("connect"), Value::from(1.0)]);
    let values = vec![Value::from("connect"), Value::from(1.0)];
    for (tail, error) in [
        (&[0x11, 4][..], AmfError::Marker(0x11)),
        (&[0x04], AmfError::Marker(0x04)),
        (&[0x09], AmfError::Marker(0x09)),
        (&[0x00, 1, 2], AmfError::Truncated),
        (&[0x03, 0, 5, b'a'], AmfError::Truncated),
    ] {
        let parsed = read(&[&connect[..], tail].concat());
        assert_eq!(parsed, Parsed { values: values.clone(), error: Some(error) });
        assert!(!error.is_ceiling());
    }
}

#[test]
fn a_missing_last_end_marker_is_forgiven() {
    let mut bytes = vec![3];
    bytes.extend(short("a"));
    bytes.extend([1, 1]);
    for end in [&[][..], &[0, 0], &[0, 0, 9]] {
        let whole = [&bytes[..], end].concat();
        assert_eq!(values(&whole), [Value::object([("a", Value::Boolean(true))])]);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| Value::Number(number.into())),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::String),
        Just(Value::Null),
        Just(Value::Undefined),
    ];
    leaf.prop_recursive(4, 60, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            inner.prop_map(|value| Value::object([("name", value)])),
        ]
    })
}

proptest! {
    // Z3
    #[test]
    fn what_is_written_is_read_back(sent in proptest::collection::vec(any_value(), 0..6)) {
        prop_assert_eq!(values(&render(&sent)), sent);
    }

    #[test]
    fn what_we_read_the_public_library_reads_the_same(
        sent in proptest::collection::vec(any_value(), 0..6),
    ) {
        let bytes = render(&sent);
        let theirs = rml_amf0::deserialize(&mut std::io::Cursor::new(&bytes)).unwrap();
        let ours: Vec<Amf0Value> = values(&bytes).into_iter().map(Into::into).collect();
        prop_assert_eq!(ours, theirs);
    }

    // Z3
    #[test]
    fn random_bytes_are_read_within_the_ceilings(
        bytes in proptest::collection::vec(0..18_u8, 0..3_000),
    ) {
        let parsed = read(&bytes);
        prop_assert!(parsed.values.len() <= 1_000);
    }
}
