//! A network that finds objects, run by tract.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tract_onnx::pb;
use tract_onnx::prelude::{
    DatumType, Framework as _, InferenceFact, InferenceModelExt, IntoRunnable, Tensor, TypedModel,
    TypedRunnableModel, tvec,
};

use super::labels::{self, MOST_CLASSES};
use super::watch::Network;
use super::yolo::{Letterbox, objects};
use super::{Object, OutputLayout, RgbPicture};
use crate::error::{Error, ErrorKind, Result};

/// Most that a model's file may have. The largest YOLO has a quarter of that.
const MOST_BYTES: u64 = 1 << 30;
/// Most numbers between two steps of a network: half a gigabyte. A picture of 2048 by 2048 pixels in 32 channels has as
/// many.
const MOST_NUMBERS: usize = 1 << 27;
/// Width and height of the input where neither the caller nor the model says it.
const USUAL_SIZE: usize = 640;
/// Widths and heights that make sense.
const SIZES: std::ops::RangeInclusive<usize> = 32..=2048;

/// How a network is used.
#[derive(Clone, Debug)]
pub struct ObjectModelOptions {
    /// Names of the classes in their order; those in the model's own metadata if none are given.
    pub labels: Vec<String>,
    /// Width and height of the input of a model that leaves them open, in pixels; what its metadata say if none is given, else
    /// 640.
    pub size: Option<usize>,
    /// How it writes what it found.
    pub layout: OutputLayout,
    /// Objects of which it is less sure are not told, 0 to 1.
    pub min_score: f32,
}

impl Default for ObjectModelOptions {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            size: None,
            layout: OutputLayout::Auto,
            min_score: 0.5,
        }
    }
}

/// A network that finds objects in pictures. Cheap to clone, may be asked from several threads.
#[derive(Clone)]
pub struct ObjectModel {
    file: PathBuf,
    plan: Arc<TypedRunnableModel>,
    input: (usize, usize),
    labels: Arc<[String]>,
    options: ObjectModelOptions,
}

impl std::fmt::Debug for ObjectModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectModel")
            .field("file", &self.file)
            .field("input", &self.input)
            .field("labels", &self.labels.len())
            .finish_non_exhaustive()
    }
}

impl ObjectModel {
    /// Reads a model and tries it on an empty picture. Takes seconds for large ones, and blocks.
    ///
    /// # Errors
    /// `NotFound` and others of the file system; `Unsupported` when it is no network of the YOLO family in the ONNX
    /// format, or its classes are not as many as there are labels; `InvalidArgument` for a size that makes no sense.
    pub fn load(file: &Path, options: ObjectModelOptions) -> Result<Self> {
        let proto = guarded(file, || read(file))?;
        let (width, height) = input_size(file, &proto, &options)?;
        let labels = if options.labels.is_empty() {
            own_labels(&proto)
        } else {
            options.labels.clone()
        };
        let labels = labels::clean(labels);
        let plan = guarded(file, || {
            refuse_large_constants(file, &proto)?;
            let fact = InferenceFact::dt_shape(DatumType::F32, [1, 3, height, width]);
            // What a file says of the steps within does not hold any more when sizes that it leaves open are set.
            let model = tract_onnx::onnx()
                .with_ignore_value_info(true)
                .with_ignore_output_shapes(true)
                .model_for_proto_model(&proto)
                .and_then(|model| model.with_input_fact(0, fact))
                .and_then(InferenceModelExt::into_typed)
                .map_err(|e| unusable(file, STEPS, &e))?;
            refuse_large_steps(file, &model)?;
            model
                .into_optimized()
                .and_then(IntoRunnable::into_runnable)
                .map_err(|e| unusable(file, STEPS, &e))
        })?;
        let model = Self {
            file: file.to_owned(),
            plan,
            input: (width, height),
            labels: labels.into(),
            options,
        };
        let grey = vec![114; 3 * 64 * 64];
        model.find(&RgbPicture {
            width: 64,
            height: 64,
            stride: 3 * 64,
            bytes: &grey,
        })?;
        Ok(model)
    }

    /// Width and height of what the network is given, in pixels.
    #[must_use]
    pub fn input_size(&self) -> (usize, usize) {
        self.input
    }

    /// Names of what it knows; empty if nobody named them.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// What is in a picture, the surest first. Blocks for as long as the network takes.
    ///
    /// # Errors
    /// `InvalidArgument` for a picture with fewer bytes than its size says, `Unsupported` when the network's answer is
    /// not understood.
    pub fn find(&self, picture: &RgbPicture<'_>) -> Result<Vec<Object>> {
        if !picture.is_whole() {
            let (width, height, stride) = (picture.width, picture.height, picture.stride);
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a picture of {width}x{height} with rows of {stride} bytes in {}",
                    picture.bytes.len()
                ),
            ));
        }
        let (width, height) = self.input;
        let letterbox = Letterbox::new((picture.width, picture.height), self.input);
        let mut planes = vec![0.0_f32; 3 * width * height];
        letterbox.fill(picture, self.input, &mut planes);
        guarded(&self.file, || {
            let answer = Tensor::from_shape(&[1, 3, height, width], &planes)
                .and_then(|input| self.plan.run(tvec!(input.into())))
                .map_err(|e| unusable(&self.file, STEPS, &e))?;
            let first = answer
                .first()
                .ok_or_else(|| unusable(&self.file, STEPS, &"it answers nothing"))?;
            let values = first
                .cast_to::<f32>()
                .map_err(|e| unusable(&self.file, STEPS, &e))?;
            let view = values
                .to_plain_array_view::<f32>()
                .map_err(|e| unusable(&self.file, STEPS, &e))?;
            let flat: Vec<f32> = view.iter().copied().collect();
            objects(
                self.options.layout,
                first.shape(),
                &flat,
                &self.labels,
                &letterbox,
                self.options.min_score,
            )
            .map_err(|e| e.context(self.file.display()))
        })
    }
}

impl Network for ObjectModel {
    fn input_size(&self) -> (usize, usize) {
        self.input
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn find(&self, picture: &RgbPicture<'_>) -> Result<Vec<Object>> {
        Self::find(self, picture)
    }
}

/// A file of some bytes may ask for more memory than there is: by a constant that it blows up.
fn refuse_large_constants(file: &Path, proto: &pb::ModelProto) -> Result<()> {
    let Some(graph) = &proto.graph else { return Ok(()) };
    let constants = graph.node.iter().filter(|n| n.op_type == "Constant");
    let constants = constants.filter_map(|n| Some((n.output.first()?, n.attribute.first()?.t.as_ref()?)));
    let known: HashMap<&str, &pb::TensorProto> = graph
        .initializer
        .iter()
        .map(|t| (&*t.name, t))
        .chain(constants.map(|(name, t)| (&**name, t)))
        .collect();
    for node in &graph.node {
        let shape = match &*node.op_type {
            "ConstantOfShape" => node.input.first(),
            "Expand" | "Tile" => node.input.get(1),
            _ => None,
        };
        let Some(shape) = shape.and_then(|name| known.get(&**name)) else {
            continue;
        };
        let sides: Vec<i64> = if shape.int64_data.is_empty() {
            let words = shape.raw_data.chunks_exact(8).filter_map(|w| w.try_into().ok());
            words.map(i64::from_le_bytes).collect()
        } else {
            shape.int64_data.clone()
        };
        let numbers = sides.iter().fold(1_usize, |n, side| {
            n.saturating_mul(usize::try_from(*side).unwrap_or(1).max(1))
        });
        if numbers > MOST_NUMBERS {
            return Err(too_large(file, &node.name, numbers));
        }
    }
    Ok(())
}

fn refuse_large_steps(file: &Path, model: &TypedModel) -> Result<()> {
    for node in &model.nodes {
        for output in &node.outputs {
            let sides = output.fact.shape.as_concrete().unwrap_or_default();
            let numbers = sides.iter().fold(1_usize, |n, side| n.saturating_mul(*side));
            if numbers > MOST_NUMBERS {
                return Err(too_large(file, &node.name, numbers));
            }
        }
    }
    Ok(())
}

fn too_large(file: &Path, step: &str, numbers: usize) -> Error {
    let step: String = step.chars().filter(|c| !c.is_control()).take(100).collect();
    unusable(
        file,
        LARGE,
        &format!("its step {step:?} makes {numbers} numbers of a picture, more than {MOST_NUMBERS}"),
    )
}

/// The runtime is not made for files that mean harm: a panic of its is an error of the file.
fn guarded<T>(file: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no words");
        Err(unusable(file, STEPS, &format!("the runtime gave up: {words}")))
    })
}

/// What is wrong with a model, and what to do.
#[derive(Clone, Copy)]
struct Trouble {
    wrong: &'static str,
    todo: &'static str,
}

const BROKEN: Trouble = Trouble {
    wrong: "this is no model in the ONNX format, or not all of it",
    todo: "export the model as ONNX (`yolo export model=… format=onnx opset=17 simplify=True`) and copy the whole file; see \
           docs/objects.md",
};
const STEPS: Trouble = Trouble {
    wrong: "the network has steps that the recorder cannot calculate",
    todo: "export it again with `opset=17 simplify=True`, and without `half=True`, `int8=True` and `nms=True`; see docs/objects.md",
};
const LARGE: Trouble = Trouble {
    wrong: "the network is larger than the recorder takes",
    todo: "take a smaller variant of it (`n` or `s`), or export it for smaller pictures (`imgsz=640`); see docs/objects.md",
};
const NO_PICTURE: Trouble = Trouble {
    wrong: "the network does not take a picture in colour",
    todo: "take a model of the YOLO family that finds objects (`detect`); see docs/objects.md",
};

/// Most characters of what the runtime says.
const MOST_DETAIL: usize = 400;

fn unusable(file: &Path, trouble: Trouble, detail: &dyn std::fmt::Display) -> Error {
    // The chain of causes, in one line.
    let detail = format!("{detail:#}").replace('\n', "; ");
    let mut short: String = detail.chars().take(MOST_DETAIL).collect();
    if short.len() < detail.len() {
        short.push('…');
    }
    Error::new(
        ErrorKind::Unsupported,
        format!("{}: {} ({short})", file.display(), trouble.wrong),
    )
    .with_hint(trouble.todo)
}

fn read(file: &Path) -> Result<pb::ModelProto> {
    let io = |e| Error::io(file.display(), e);
    let opened = File::open(file).map_err(io)?;
    let length = opened.metadata().map_err(io)?.len();
    if length > MOST_BYTES {
        return Err(unusable(
            file,
            LARGE,
            &format!("{length} bytes are more than a model may have ({MOST_BYTES})"),
        ));
    }
    let proto = tract_onnx::onnx()
        .proto_model_for_read(&mut opened.take(MOST_BYTES))
        .map_err(|e| unusable(file, BROKEN, &e))?;
    if proto.graph.is_none() {
        return Err(unusable(file, BROKEN, &"no network in it"));
    }
    Ok(proto)
}

/// Width and height of the input: as the model fixes them, by the options, by the model's metadata, or as usual.
fn input_size(file: &Path, proto: &pb::ModelProto, options: &ObjectModelOptions) -> Result<(usize, usize)> {
    let said = proto.graph.as_ref().and_then(|graph| {
        // Some models list their weights among the inputs.
        let is_weight = |name: &str| graph.initializer.iter().any(|w| w.name == name);
        graph.input.iter().find(|input| !is_weight(&input.name))
    });
    let dimensions: Vec<Option<usize>> = said
        .and_then(|input| input.r#type.as_ref()?.value.as_ref())
        .map(|pb::type_proto::Value::TensorType(tensor)| tensor)
        .and_then(|tensor| tensor.shape.as_ref())
        .map(|shape| shape.dim.iter().map(known).collect())
        .unwrap_or_default();
    if !matches!(dimensions[..], [_, None | Some(3), _, _]) {
        let sides: Vec<String> = dimensions
            .iter()
            .map(|d| d.map_or("?".into(), |n| n.to_string()))
            .collect();
        let detail = format!("its input is [{}], not [1, 3, height, width]", sides.join(", "));
        return Err(unusable(file, NO_PICTURE, &detail));
    }
    let open = options
        .size
        .map(|n| (n, n))
        .or_else(|| own_size(proto))
        .unwrap_or((USUAL_SIZE, USUAL_SIZE));
    let size = (dimensions[3].unwrap_or(open.0), dimensions[2].unwrap_or(open.1));
    if !SIZES.contains(&size.0) || !SIZES.contains(&size.1) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "{}: an input of {}x{}: {SIZES:?} pixels are possible",
                file.display(),
                size.0,
                size.1
            ),
        ));
    }
    Ok(size)
}

fn known(dimension: &pb::tensor_shape_proto::Dimension) -> Option<usize> {
    match &dimension.value {
        Some(pb::tensor_shape_proto::dimension::Value::DimValue(n)) => {
            usize::try_from(*n).ok().filter(|n| *n > 0)
        }
        _ => None,
    }
}

/// Width and height that Ultralytics writes into the metadata: `[480, 640]`, the height first. One that makes no sense counts
/// for nothing.
fn own_size(proto: &pb::ModelProto) -> Option<(usize, usize)> {
    let text = &proto.metadata_props.iter().find(|p| p.key == "imgsz")?.value;
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let sides: Option<Vec<usize>> = text
        .split(',')
        .map(|side| side.trim().parse().ok().filter(|n| SIZES.contains(n)))
        .collect();
    match sides?[..] {
        [side] => Some((side, side)),
        [height, width] => Some((width, height)),
        _ => None,
    }
}

/// The names that Ultralytics writes into the metadata: `{0: 'person', 1: 'bicycle'}`.
fn own_labels(proto: &pb::ModelProto) -> Vec<String> {
    let Some(names) = proto.metadata_props.iter().find(|p| p.key == "names") else {
        return Vec::new();
    };
    parse_names(&names.value).unwrap_or_default()
}

/// None unless all numbers from 0 on are there.
fn parse_names(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut names = Vec::new();
    while !rest.starts_with('}') {
        let (number, after) = rest.split_once(':')?;
        if number.trim().parse::<usize>().ok()? != names.len() || names.len() >= MOST_CLASSES {
            return None;
        }
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (name, after) = after[1..].split_once(quote)?;
        names.push(name.to_owned());
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    Some(names)
}

#[cfg(test)]
mod tests;
