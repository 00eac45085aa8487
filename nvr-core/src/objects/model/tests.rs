//! Models are made here: a network that says how red its input is, in the shape of a YOLOv8 with two classes.

use prost::Message as _;
use tract_onnx::pb::{GraphProto, ModelProto};

use super::*;
use crate::testing::onnx::{floats, integer, model, node, value, whole_numbers};

/// Answers one box in the left upper quarter whose class 0 is as sure as the picture is red, and class 1 as it is blue.
fn redness(input: &[Option<i64>]) -> ModelProto {
    let nodes = vec![
        // [1, 3, 1, 1]: how bright each colour is at its brightest.
        node("GlobalMaxPool", &["images"], "colours", None),
        node(
            "Gather",
            &["colours", "red_and_blue"],
            "two",
            Some(integer("axis", 1)),
        ),
        node("Reshape", &["two", "flat"], "classes", None),
        node("Concat", &["box", "classes"], "one", Some(integer("axis", 1))),
        node("Concat", &["one", "nothing"], "output0", Some(integer("axis", 2))),
    ];
    model(
        GraphProto {
            name: "redness".to_owned(),
            node: nodes,
            input: vec![value("images", input)],
            output: vec![value("output0", &[Some(1), Some(6), Some(64)])],
            initializer: vec![
                whole_numbers("red_and_blue", &[0, 2]),
                whole_numbers("flat", &[1, 2, 1]),
                floats("box", &[1, 4, 1], vec![16.0, 16.0, 32.0, 32.0]),
                floats("nothing", &[1, 6, 63], vec![0.0; 6 * 63]),
            ],
            ..GraphProto::default()
        },
        "{0: 'fire engine', 1: 'ocean'}",
    )
}

fn written(model: &ModelProto) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model.encode_to_vec()).unwrap();
    file
}

fn of_one_colour(colour: [u8; 3]) -> Vec<u8> {
    colour.into_iter().cycle().take(3 * 64 * 64).collect()
}

fn find(model: &ObjectModel, bytes: &[u8]) -> Vec<Object> {
    let picture = RgbPicture {
        width: 64,
        height: 64,
        stride: 3 * 64,
        bytes,
    };
    model.find(&picture).unwrap()
}

#[test]
fn a_network_is_read_and_asked() {
    let file = written(&redness(&[Some(1), Some(3), Some(64), Some(64)]));
    let model = ObjectModel::load(file.path(), ObjectModelOptions::default()).unwrap();
    assert_eq!((model.input_size(), model.labels().len()), ((64, 64), 2));
    let red = find(&model, &of_one_colour([250, 10, 10]));
    assert_eq!(red.len(), 1, "{red:?}");
    assert_eq!(red[0].label, "fire engine");
    assert!((red[0].score - 250.0 / 255.0).abs() < 1e-3, "{red:?}");
    assert_eq!(
        red[0].area,
        crate::objects::Area {
            x: 0.0,
            y: 0.0,
            width: 0.5,
            height: 0.5
        }
    );
    assert_eq!(find(&model, &of_one_colour([0, 30, 200]))[0].label, "ocean");
    assert!(find(&model, &of_one_colour([90, 250, 90])).is_empty(), "neither");
}

#[test]
fn sizes_and_names_of_the_user_count() {
    let file = written(&redness(&[None, Some(3), None, None]));
    let options = ObjectModelOptions {
        labels: vec!["a".to_owned(), "b".to_owned()],
        size: Some(96),
        min_score: 0.3,
        ..ObjectModelOptions::default()
    };
    let model = ObjectModel::load(file.path(), options.clone()).unwrap();
    assert_eq!(model.input_size(), (96, 96));
    assert_eq!(find(&model, &of_one_colour([90, 250, 10]))[0].label, "a");
    let load = |options| {
        ObjectModel::load(file.path(), options)
            .map_err(|e| e.kind())
            .map(|m| m.input_size())
    };
    let size = |size| ObjectModelOptions {
        size,
        ..options.clone()
    };
    assert_eq!(load(size(None)), Ok((640, 640)));
    assert_eq!(load(size(Some(7))), Err(ErrorKind::InvalidArgument));
    let three = ObjectModelOptions {
        labels: vec![String::new(); 3],
        ..options.clone()
    };
    assert_eq!(load(three), Err(ErrorKind::Unsupported));
}

/// As `dynamic=True` exports it: with shapes of the steps within, by names of the sides that are open.
#[test]
fn steps_whose_shapes_are_told_by_name_are_no_hindrance() {
    let mut proto = redness(&[None, Some(3), None, None]);
    let graph = proto.graph.as_mut().unwrap();
    graph.value_info = vec![
        value("colours", &[None, Some(3), Some(1), Some(1)]),
        value("classes", &[None, Some(2), None]),
    ];
    graph.output = vec![value("output0", &[None, Some(6), None])];
    let file = written(&proto);
    let model = ObjectModel::load(file.path(), ObjectModelOptions::default()).unwrap();
    assert_eq!(model.input_size(), (640, 640));
    assert_eq!(find(&model, &of_one_colour([200, 10, 0]))[0].label, "fire engine");
}

#[test]
fn files_that_are_no_such_network_are_refused_with_a_reason() {
    let load = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        ObjectModel::load(file.path(), ObjectModelOptions::default()).unwrap_err()
    };
    let whole = redness(&[Some(1), Some(3), Some(64), Some(64)]);
    let mut unknown = whole.clone();
    unknown.graph.as_mut().unwrap().node[0].op_type = "NoSuchThing".to_owned();
    let mut flat = whole.clone();
    flat.graph.as_mut().unwrap().input = vec![value("images", &[Some(1), Some(100)])];
    let encoded = whole.encode_to_vec();
    let (broken, steps, no_picture) = (
        ("no model in the ONNX format", "format=onnx"),
        ("steps that the recorder cannot calculate", "simplify=True"),
        ("does not take a picture", "detect"),
    );
    for (bytes, (words, todo)) in [
        (&b"not a model"[..], broken),
        (&[], broken),
        (&encoded[..encoded.len() / 2], broken),
        (&unknown.encode_to_vec(), steps),
        (&flat.encode_to_vec(), no_picture),
    ] {
        let error = load(bytes);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("docs/objects.md"), "{error}");
        let told = error.to_string();
        assert!(told.contains(words) && told.len() < 700, "{told}");
        assert!(hint.contains(todo), "{hint}");
    }
    let missing = ObjectModel::load(Path::new("/no/such/model.onnx"), ObjectModelOptions::default());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_model_says_its_size_itself() {
    let with = |input: &[Option<i64>], imgsz: &str, size| {
        let mut proto = redness(input);
        proto.metadata_props.push(tract_onnx::pb::StringStringEntryProto {
            key: "imgsz".to_owned(),
            value: imgsz.to_owned(),
        });
        let file = written(&proto);
        let options = ObjectModelOptions {
            size,
            ..ObjectModelOptions::default()
        };
        let model = ObjectModel::load(file.path(), options).unwrap();
        model.input_size()
    };
    let open = [None, Some(3), None, None];
    // The height comes first there, and the width here.
    assert_eq!(with(&open, "[96, 128]", None), (128, 96));
    assert_eq!(with(&open, "320", None), (320, 320));
    assert_eq!(with(&open, "[96, 128]", Some(64)), (64, 64), "the setting counts");
    for nonsense in ["", "[]", "[0, 128]", "[96, 128, 3]", "[999999, 999999]", "large"] {
        assert_eq!(with(&open, nonsense, None), (640, 640), "{nonsense}");
    }
    let fixed = [Some(1), Some(3), Some(64), Some(64)];
    assert_eq!(
        with(&fixed, "[96, 128]", Some(320)),
        (64, 64),
        "what is fixed is so"
    );
    let half_open = [Some(1), Some(3), Some(64), None];
    assert_eq!(with(&half_open, "[96, 128]", None), (128, 64));
}

#[test]
fn names_in_metadata() {
    let names = parse_names("{0: 'person', 1: \"driver's cab\", 2: 'car'}").unwrap();
    assert_eq!(names, ["person", "driver's cab", "car"]);
    assert_eq!(parse_names("{}"), Some(vec![]));
    for wrong in [
        "",
        "{0: 'a'",
        "{1: 'a'}",
        "{0: 'a', 2: 'b'}",
        "{0: a}",
        "{0 'a'}",
        "['a']",
    ] {
        assert_eq!(parse_names(wrong), None, "{wrong}");
    }
}
