//! Pixels with soft edges and text from a font of its own: a backend for plotters that needs no system font and no C
//! library.
//!
//! Plotters counts in whole pixels, which makes a course jagged; here it counts in sixteenths of one (`UNIT`), and
//! the coverage of each pixel is worked out from its distance to the shape. Everything outside the picture is cut off,
//! and nothing that is drawn can fail. Called by `picture` alone.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::convert::Infallible;

use ab_glyph::{Font as _, FontRef, Glyph, PxScale, ScaleFont as _, point};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};

use super::PictureError;

/// Parts of a pixel in which plotters counts.
pub(super) const UNIT: f32 = 16.0;

/// Roboto: see `FONT.md` beside it.
const ROBOTO: &[u8] = include_bytes!("Roboto-Regular.ttf");

/// Height of a capital letter in ems, as Roboto has it; texts are placed by it.
const CAPITAL: f32 = 0.711;

/// A point in pixels.
pub(super) type Spot = (f32, f32);

/// The font that everything is written in.
pub(super) struct Font(FontRef<'static>);

impl Font {
    /// Reads the font's tables.
    pub(super) fn load() -> Result<Self, PictureError> {
        FontRef::try_from_slice(ROBOTO).map(Self).map_err(|_| PictureError::Font)
    }

    /// The text with `?` for what the font cannot show, and without what only joins characters.
    pub(super) fn shown(&self, text: &str) -> String {
        let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
        let known = |c: char| if self.0.glyph_id(c).0 == 0 { '?' } else { c };
        text.chars().filter(|c| !joins(*c)).map(known).collect()
    }

    /// The text as far as it goes into `room` pixels, with `…` where something was cut off.
    pub(super) fn fitted(&self, text: &str, size: f32, room: f32) -> String {
        let text = self.shown(text);
        if self.width(&text, size) <= room {
            return text;
        }
        let room = room - self.width("…", size);
        let mut used = 0.0;
        let fits = |c: &char| {
            used += self.width(c.encode_utf8(&mut [0; 4]), size);
            used <= room
        };
        let short: String = text.chars().take_while(fits).collect();
        format!("{}…", short.trim_end())
    }

    /// How wide a text is, in pixels.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        self.layout(text, size).0
    }

    /// A size in pixels an em as the font's own measure, which is from the lowest to the highest point.
    fn scale(&self, size: f32) -> PxScale {
        PxScale::from(size * self.0.height_unscaled() / self.0.units_per_em().unwrap_or(2048.0))
    }

    /// The width and the glyphs, the first at x = 0 on the line y = 0.
    fn layout(&self, text: &str, size: f32) -> (f32, Vec<Glyph>) {
        let scale = self.scale(size);
        let font = self.0.as_scaled(scale);
        let (mut x, mut before) = (0.0, None);
        let mut glyphs = Vec::with_capacity(text.len());
        for c in text.chars() {
            let id = font.glyph_id(c);
            x += before.map_or(0.0, |before| font.kern(before, id));
            glyphs.push(id.with_scale_and_position(scale, point(x, 0.0)));
            x += font.h_advance(id);
            before = Some(id);
        }
        (x, glyphs)
    }
}

/// Red, green and blue.
type Rgb = [u8; 3];

/// A picture in memory.
pub(super) struct Image {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Image {
    /// One of a single colour.
    pub(super) fn new(width: usize, height: usize, color: Rgb) -> Self {
        Self { width, height, pixels: vec![color; width * height] }
    }

    /// The picture as PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>, PictureError> {
        let (width, height) = (u32::try_from(self.width), u32::try_from(self.height));
        let mut out = Vec::with_capacity(64 * 1024);
        let mut encoder = png::Encoder::new(&mut out, width.unwrap_or(u32::MAX), height.unwrap_or(u32::MAX));
        let (palette, indices) = self.indexed();
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette);
        // Neighbouring numbers of a palette have nothing to do with each other, so no filter foretells them.
        encoder.set_filter(png::Filter::NoFilter);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&indices)?;
        writer.finish()?;
        Ok(out)
    }

    /// The picture in at most 256 colours, which is far smaller than with three bytes a pixel: the palette, and each
    /// pixel's number in it. Soft edges may have more; those that differ least become one, the most frequent of them.
    fn indexed(&self) -> (Vec<u8>, Vec<u8>) {
        let mut counts: BTreeMap<Rgb, u32> = BTreeMap::new();
        for run in self.pixels.chunk_by(|a, b| a == b) {
            if let Some(color) = run.first() {
                *counts.entry(*color).or_default() += u32::try_from(run.len()).unwrap_or(u32::MAX);
            }
        }
        let mut colors: Vec<(Rgb, u32)> = counts.into_iter().collect();
        colors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        // With six bits less there are 64 colours at most.
        let (palette, numbers) = (0..=6).find_map(|bits| numbered(&colors, bits)).unwrap_or_default();
        let mut indices = Vec::with_capacity(self.pixels.len());
        for run in self.pixels.chunk_by(|a, b| a == b) {
            let number = run.first().and_then(|color| numbers.get(color)).copied().unwrap_or(0);
            indices.resize(indices.len() + run.len(), number);
        }
        (palette, indices)
    }

    /// Lays a colour over a pixel, as thick as `cover` (0 to 1) says.
    fn blend(&mut self, x: usize, y: usize, color: BackendColor, cover: f32) {
        if x >= self.width {
            return;
        }
        let Some(pixel) = self.pixels.get_mut(y * self.width + x) else { return };
        let cover = cover.clamp(0.0, 1.0) * shortened(color.alpha);
        let (red, green, blue) = color.rgb;
        for (old, new) in pixel.iter_mut().zip([red, green, blue]) {
            *old = byte(f32::from(*old) + (f32::from(new) - f32::from(*old)) * cover);
        }
    }
}

/// A number for each colour, where those that differ only in the lowest `bits` are one; `None` when it takes more than
/// 256. The most frequent colour of each number, which must come first, is the one that is shown.
fn numbered(colors: &[(Rgb, u32)], bits: u32) -> Option<(Vec<u8>, BTreeMap<Rgb, u8>)> {
    let (mut palette, mut coarse, mut numbers) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for (color, _) in colors {
        let next = u8::try_from(coarse.len()).ok();
        let number = match coarse.entry(color.map(|part| part >> bits)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                palette.extend_from_slice(color);
                *free.insert(next?)
            }
        };
        numbers.insert(*color, number);
    }
    Some((palette, numbers))
}

/// Where plotters draws.
pub(super) struct Canvas<'a> {
    image: &'a mut Image,
    font: &'a Font,
}

impl<'a> Canvas<'a> {
    /// Draws into `image`.
    pub(super) fn over(image: &'a mut Image, font: &'a Font) -> Self {
        Self { image, font }
    }

    /// Fills all pixels between two corners as thick as `cover` says, which is given a pixel's middle.
    fn fill(&mut self, least: Spot, most: Spot, color: BackendColor, cover: impl Fn(Spot) -> f32) {
        for y in whole(least.1, most.1, self.image.height) {
            for x in whole(least.0, most.0, self.image.width) {
                let thick = cover((as_f32(x) + 0.5, as_f32(y) + 0.5));
                if thick > 0.0 {
                    self.image.blend(x, y, color, thick);
                }
            }
        }
    }

    /// Draws a line through all points with round joints. Laid down once: where it crosses itself it is no darker.
    fn stroke(&mut self, points: &[Spot], color: BackendColor, width: f32) {
        let radius = width / 2.0;
        let reach = radius + 1.0;
        let edge = |pick: fn(&Spot) -> f32| {
            let (low, high) = points.iter().map(pick).fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
            (low - reach, high + reach)
        };
        let ((left, right), (top, bottom)) = (edge(|p| p.0), edge(|p| p.1));
        let (columns, rows) = (whole(left, right, self.image.width), whole(top, bottom, self.image.height));
        let mut covered = vec![0.0_f32; columns.len() * rows.len()];
        let alone = points.first().filter(|_| points.len() == 1).map(|p| (*p, *p));
        for (a, b) in points.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).chain(alone) {
            for y in whole(a.1.min(b.1) - reach, a.1.max(b.1) + reach, self.image.height) {
                let middle = as_f32(y) + 0.5;
                // The part of the line that is near this row.
                let (from, to) = (cut(a, b, middle - reach), cut(a, b, middle + reach));
                let Some(line) = y.checked_sub(rows.start).map(|y| y * columns.len()) else { continue };
                for x in whole(from.min(to) - reach, from.max(to) + reach, self.image.width) {
                    let Some(cell) = x.checked_sub(columns.start).and_then(|x| covered.get_mut(line + x)) else {
                        continue;
                    };
                    // A course that goes up and down within a pixel comes by often.
                    if *cell < 1.0 {
                        let thick = radius + 0.5 - distance((as_f32(x) + 0.5, middle), a, b);
                        *cell = cell.max(thick.clamp(0.0, 1.0));
                    }
                }
            }
        }
        let mut covered = covered.into_iter();
        for y in rows {
            for (x, thick) in columns.clone().zip(&mut covered) {
                if thick > 0.0 {
                    self.image.blend(x, y, color, thick);
                }
            }
        }
    }

    /// Writes `text` so that its first letter begins at `at` and stands on it.
    fn write(&mut self, text: &str, size: f32, color: BackendColor, at: Spot) {
        for glyph in self.font.layout(text, size).1 {
            let Some(outline) = self.font.0.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            // A whole number of pixels for the line: letters of equal height then look equally sharp.
            let (left, top) = ((corner.x + at.0).round(), corner.y + at.1.round());
            outline.draw(|x, y, thick| {
                if let (Some(x), Some(y)) = (shifted(x, left), shifted(y, top)) {
                    self.image.blend(x, y, color, thick);
                }
            });
        }
    }
}

/// What plotters wants to know how drawing went: always well.
type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        let units = |pixels: usize| u32::try_from(units(as_f32(pixels))).unwrap_or(0);
        (units(self.image.width), units(self.image.height))
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn {
        let (x, y) = spot(at);
        if let (Some(x), Some(y)) = (shifted(0, x.floor()), shifted(0, y.floor())) {
            self.image.blend(x, y, color, 1.0);
        }
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let points: Vec<Spot> = path.into_iter().map(spot).collect();
        self.stroke(&points, style.color(), as_f32(style.stroke_width() as usize) / UNIT);
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Drawn {
        if !fill {
            return self.draw_path([a, (b.0, a.1), b, (a.0, b.1), a], style);
        }
        let (a, b) = (spot(a), spot(b));
        let (least, most) = ((a.0.min(b.0), a.1.min(b.1)), (a.0.max(b.0), a.1.max(b.1)));
        // How much of a pixel lies between two edges.
        let part = |middle: f32, low: f32, high: f32| ((middle + 0.5).min(high) - (middle - 0.5).max(low)).max(0.0);
        self.fill(least, most, style.color(), |(x, y)| part(x, least.0, most.0) * part(y, least.1, most.1));
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, at: BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let (at, radius) = (spot(at), as_f32(radius as usize) / UNIT);
        let half = as_f32(style.stroke_width() as usize) / UNIT / 2.0;
        let reach = radius + half + 1.0;
        let cover = |p: Spot| {
            let away = (p.0 - at.0).hypot(p.1 - at.1);
            if fill { radius + 0.5 - away } else { half + 0.5 - (away - radius).abs() }
        };
        self.fill((at.0 - reach, at.1 - reach), (at.0 + reach, at.1 + reach), style.color(), cover);
        Ok(())
    }

    /// Only where it bulges everywhere (a triangle, a diamond): all that is drawn here does.
    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        let corners: Vec<Spot> = corners.into_iter().map(spot).collect();
        let next = corners.iter().cycle().skip(1);
        let edges: Vec<(Spot, Spot)> = corners.iter().copied().zip(next.copied()).take(corners.len()).collect();
        let area: f32 = edges.iter().map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
        let least = corners.iter().fold((f32::MAX, f32::MAX), |l, p| (l.0.min(p.0), l.1.min(p.1)));
        let most = corners.iter().fold((f32::MIN, f32::MIN), |m, p| (m.0.max(p.0), m.1.max(p.1)));
        let cover = |p: Spot| {
            let inside = edges.iter().map(|(a, b)| {
                let (dx, dy) = (b.0 - a.0, b.1 - a.1);
                ((p.1 - a.1) * dx - (p.0 - a.0) * dy) * area.signum() / dx.hypot(dy).max(f32::EPSILON)
            });
            inside.fold(f32::MAX, f32::min) + 0.5
        };
        self.fill((least.0 - 1.0, least.1 - 1.0), (most.0 + 1.0, most.1 + 1.0), style.color(), cover);
        Ok(())
    }

    /// Always level: nothing here is written upwards.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let size = shortened(style.size()) / UNIT;
        let (x, y) = spot(at);
        let width = self.font.width(text, size);
        let x = match style.anchor().h_pos {
            HPos::Left => x,
            HPos::Center => x - width / 2.0,
            HPos::Right => x - width,
        };
        let y = match style.anchor().v_pos {
            VPos::Top => y + size * CAPITAL,
            VPos::Center => y + size * CAPITAL / 2.0,
            VPos::Bottom => y,
        };
        self.write(text, size, style.color(), (x, y));
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = shortened(style.size());
        let units = |length: f32| u32::try_from(whole_number(length)).unwrap_or(0);
        Ok((units(self.font.width(text, size)), units(size * CAPITAL)))
    }
}

/// Where the line from `a` to `b` is at the height `y`; its nearer end where it does not get there.
fn cut(a: Spot, b: Spot, y: f32) -> f32 {
    if a.1 == b.1 {
        // A level line is near its rows with all of itself: below it one end, above it the other.
        return if y < a.1 { a.0 } else { b.0 };
    }
    a.0 + (b.0 - a.0) * ((y - a.1) / (b.1 - a.1)).clamp(0.0, 1.0)
}

/// How far `p` is from the line between `a` and `b`.
fn distance(p: Spot, a: Spot, b: Spot) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let part = if length > 0.0 { ((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length } else { 0.0 }.clamp(0.0, 1.0);
    let (x, y) = (p.0 - a.0 - part * dx, p.1 - a.1 - part * dy);
    // Not `hypot`, which is many times slower and is exact where squares do not fit: here they do.
    (x * x + y * y).sqrt()
}

/// The pixels that lie at least in part between two edges, within the picture.
fn whole(from: f32, to: f32, most: usize) -> std::ops::Range<usize> {
    // Cut off instead of rounded: one pixel more at the end is covered by nothing.
    let within = |edge: f32| edge.clamp(0.0, as_f32(most)) as usize;
    let to = (within(to) + 1).min(most);
    within(from).min(to)..to
}

fn spot(at: BackendCoord) -> Spot {
    (as_pixels(at.0), as_pixels(at.1))
}

/// In plotters' count.
pub(super) fn units(pixels: f32) -> i32 {
    whole_number(pixels * UNIT)
}

fn as_pixels(units: i32) -> f32 {
    // A picture has thousands of units, f32 holds millions.
    units as f32 / UNIT
}

fn whole_number(value: f32) -> i32 {
    value.round() as i32
}

/// `x` moved by a whole number; `None` to the left of the picture.
fn shifted(x: u32, by: f32) -> Option<usize> {
    usize::try_from(i64::from(x) + i64::from(whole_number(by))).ok()
}

fn as_f32(n: usize) -> f32 {
    n as f32
}

fn shortened(value: f64) -> f32 {
    value as f32
}

fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}
