//! Tiny networks in the ONNX format, made here so that tests need none from elsewhere (feature `onnx`).

use prost::Message as _;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_proto, type_proto,
};

/// Width and height of the input of [`bright_model`].
pub const BRIGHT_SIZE: usize = 64;
/// What [`bright_model`] calls what it finds.
pub const BRIGHT_LABEL: &str = "bright thing";

/// Pixels of a cell of [`bright_model`], and cells in a row.
const CELL: usize = 2;
const CELLS: usize = BRIGHT_SIZE / CELL;

/// A network in the shape of a YOLOv8 of one class that is as sure of a place as it is bright: a convolution takes the
/// mean of each two by two pixels, and around each of these lies a box of constant size.
#[must_use]
pub fn bright_model() -> Vec<u8> {
    let boxes = CELLS * CELLS;
    let middle = |cell: usize| (cell * CELL + CELL / 2) as f32;
    let mut places = Vec::with_capacity(4 * boxes);
    places.extend((0..boxes).map(|n| middle(n % CELLS)));
    places.extend((0..boxes).map(|n| middle(n / CELLS)));
    places.extend(std::iter::repeat_n(6.0, boxes));
    places.extend(std::iter::repeat_n(8.0, boxes));
    let (side, boxes) = (BRIGHT_SIZE as i64, boxes as i64);
    let weights = (3 * CELL * CELL) as f32;
    let mut convolution = node("Conv", &["images", "weights"], "means", None);
    convolution.attribute = vec![
        integers("kernel_shape", &[CELL as i64, CELL as i64]),
        integers("strides", &[CELL as i64, CELL as i64]),
    ];
    let graph = GraphProto {
        name: "bright".to_owned(),
        node: vec![
            convolution,
            node("Reshape", &["means", "flat"], "scores", None),
            node(
                "Concat",
                &["places", "scores"],
                "output0",
                Some(integer("axis", 1)),
            ),
        ],
        input: vec![value("images", &[Some(1), Some(3), Some(side), Some(side)])],
        output: vec![value("output0", &[Some(1), Some(5), Some(boxes)])],
        initializer: vec![
            floats(
                "weights",
                &[1, 3, CELL as i64, CELL as i64],
                vec![1.0 / weights; 3 * CELL * CELL],
            ),
            whole_numbers("flat", &[1, 1, boxes]),
            floats("places", &[1, 4, boxes], places),
        ],
        ..GraphProto::default()
    };
    model(graph, &format!("{{0: '{BRIGHT_LABEL}'}}")).encode_to_vec()
}

/// A network with the names of its classes as Ultralytics writes them.
pub(crate) fn model(graph: GraphProto, names: &str) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 13,
        }],
        metadata_props: vec![StringStringEntryProto {
            key: "names".to_owned(),
            value: names.to_owned(),
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

pub(crate) fn floats(name: &str, dims: &[i64], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: tensor_proto::DataType::Float as i32,
        float_data: values,
        ..TensorProto::default()
    }
}

pub(crate) fn whole_numbers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: tensor_proto::DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

pub(crate) fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: value,
        r#type: attribute_proto::AttributeType::Int as i32,
        ..AttributeProto::default()
    }
}

fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        r#type: attribute_proto::AttributeType::Ints as i32,
        ..AttributeProto::default()
    }
}

pub(crate) fn node(
    operation: &str,
    inputs: &[&str],
    output: &str,
    attribute: Option<AttributeProto>,
) -> NodeProto {
    NodeProto {
        op_type: operation.to_owned(),
        name: output.to_owned(),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attribute.into_iter().collect(),
        ..NodeProto::default()
    }
}

/// What goes in or comes out; sides that are left open are none.
pub(crate) fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = |d: &Option<i64>| Dimension {
        value: Some(d.map_or_else(
            || dimension::Value::DimParam("open".to_owned()),
            dimension::Value::DimValue,
        )),
        ..Dimension::default()
    };
    let shape = TensorShapeProto {
        dim: dims.iter().map(dim).collect(),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: tensor_proto::DataType::Float as i32,
                shape: Some(shape),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
