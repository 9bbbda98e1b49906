/* A picture as SVG. The stream runs downwards; a line is a box beside it, joined by a plus where it is added, or on it where it stands in the way. Bars on the right
   show the share of the parameters, dark where a token meets them. All text is text, and the whole is described for those who cannot see it. */
#include "report/picture.h"

#include <math.h>
#include <string.h>

enum {
    SHEET = 860,
    EDGE = 28,
    HEAD = 104,
    BOX = 34,
    ROW = 17,
    GAP = 10,
    REACH = 32, /* REACH: from the stream to a box beside it */
    BRACKET = 40,
    PAD = 8,
    TITLE = 26,
    BAR_LEFT = 560,
    BAR_WIDTH = 150,
    SHARE_RIGHT = 770,
    COUNT_RIGHT = SHEET - EDGE,
    NAME_WIDTH = 112,
    COLUMN = 20,
    DOOR = 44,
    LINE_LEAST = 132,
    LINE_WIDE = 300, /* a box in a column, and elsewhere */
};

static const char *const FILLS[PICTURE_COLORS] = {"#4c78a8", "#e8863a", "#54a24b", "#d9534f", "#3f9e9a", "#9d6fb0", "#c9a227", "#d879a6", "#9d755d", "#5f7a94"};
static const char GREY[] = "#7b8494";

typedef struct Drawing {
    Arena *arena;
    const PictureSheet *sheet;
    double wider; /* than SHEET: room for branches side by side */
} Drawing;

/* Where lines are drawn: the stream's place, the right edge of boxes; in a column their bars stand inside the boxes. */
typedef struct Frame {
    double stream, left, right;
    bool column;
    int64_t width; /* of the stream, 0: not begun */
} Frame;

/* ---- text ---- */

static void print_escaped(const char *text, Str *out)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': str_append(out, "&amp;"); break;
        case '<': str_append(out, "&lt;"); break;
        case '>': str_append(out, "&gt;"); break;
        case '"': str_append(out, "&quot;"); break;
        default: str_push(out, *text);
        }
    }
}

static void print_text(double x, double y, const char *class, const char *text, Str *out)
{
    str_printf(out, "<text x=\"%g\" y=\"%g\" class=\"%s\">", x, y, class);
    print_escaped(text, out);
    str_append(out, "</text>\n");
}

static const char *fill_of(const Picture *picture) { return picture->color >= 0 ? FILLS[picture->color] : GREY; }

/* How many columns of details fit into so many pixels: 12 px letters are not wider than this on average. */
static int columns_in(double pixels) { return pixels > 0 ? (int)(pixels / 6.3) : 0; }

static const char *shown_name(const Drawing *drawing, const Picture *picture)
{
    return picture->label ? arena_printf(drawing->arena, "%s: %s", picture->label, picture->name) : picture->name;
}

/* ---- bars ---- */

static void draw_bar(const Drawing *drawing, const Picture *picture, double x, double y, double width, Str *out)
{
    const double largest = drawing->sheet->largest > 0 ? drawing->sheet->largest : 1, all = fmax(2, picture->share / largest * width);
    const bool sparse = picture->activated > 0 && picture->activated < 0.995 * picture->total;
    str_printf(out, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"8\" rx=\"2\" class=\"track\"/>", x, y, width);
    str_printf(out, "<rect x=\"%g\" y=\"%g\" width=\"%.2f\" height=\"8\" rx=\"2\" fill=\"%s\"%s/>", x, y, all, fill_of(picture), sparse ? " opacity=\".4\"" : "");
    if (sparse)
        str_printf(out, "<rect x=\"%g\" y=\"%g\" width=\"%.2f\" height=\"8\" rx=\"2\" fill=\"%s\"/>", x, y, fmax(2, all * picture->activated / picture->total), fill_of(picture));
    str_push(out, '\n');
}

static void draw_figures(const Drawing *drawing, const Picture *picture, double y, Str *out)
{
    const char *share = picture->share >= 0.9995 ? "100 %" : arena_printf(drawing->arena, "%.1f %%", 100 * picture->share);
    print_text(SHARE_RIGHT + drawing->wider, y, "number", share, out);
    print_text(COUNT_RIGHT + drawing->wider, y, "number faint", picture_count(drawing->arena, picture->total), out);
}

/* ---- the stream ---- */

static void stroke_stream(double x, double from, double to, Str *out) { str_printf(out, "<path d=\"M%g %gV%g\" class=\"stream\"/>\n", x, from, to); }

static void draw_plus(double x, double y, Str *out)
{
    str_printf(out, "<circle cx=\"%g\" cy=\"%g\" r=\"7\" class=\"plus\"/><path d=\"M%g %gh7M%g %gv7\" class=\"plus\"/>\n", x, y, x - 3.5, y, x, y - 3.5);
}

static double draw_width(const Drawing *drawing, double x, double y, int64_t width, Str *out)
{
    stroke_stream(x, y, y + 20 + GAP, out);
    print_text(x + 12, y + 14, "faint small", arena_printf(drawing->arena, "%lld wide", (long long)width), out);
    return y + 20;
}

/* ---- lines ---- */

static double draw_line(const Drawing *drawing, const Picture *picture, const Frame *frame, double y, Str *out)
{
    const double left = picture->wired ? frame->stream + (frame->column ? COLUMN : REACH) : frame->left, width = frame->right - left;
    const char **lines, *name = shown_name(drawing, picture);
    const double named = 16 + 7.8 * picture_columns(name), beside = named > NAME_WIDTH ? named : NAME_WIDTH;
    const int count =
        picture_wrap(drawing->arena, picture, frame->column ? 0 : columns_in(width - beside - 10), columns_in(width - (frame->column ? 20 : NAME_WIDTH + 10)), &lines);
    const int skip = count > 0 && !*lines[0]; /* nothing fits beside the name */
    const int below = frame->column ? count - skip : count > 1 ? count - 1 : 0;
    const double height = BOX + ROW * below + (frame->column && picture->total > 0 ? 14 : 0), middle = y + BOX / 2.0;
    stroke_stream(frame->stream, y - GAP / 2.0, y + height + GAP / 2.0, out);
    str_printf(out, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" rx=\"6\" class=\"paper\"/>", left, y, width, height);
    str_printf(out, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" rx=\"6\" fill=\"%s\" fill-opacity=\".13\" stroke=\"%s\" stroke-opacity=\".55\"/>", left, y, width, height,
               fill_of(picture), fill_of(picture));
    str_printf(out, "<path d=\"M%g %gh-2a6 6 0 0 0-6 6v%ga6 6 0 0 0 6 6h2z\" fill=\"%s\"/>\n", left + 8, y, height - 12, fill_of(picture));
    if (picture->wired) {
        str_printf(out, "<path d=\"M%g %gH%g\" class=\"stream\"/>\n", frame->stream, middle, left);
        draw_plus(frame->stream, middle, out);
    }
    print_text(left + 16, y + 22, "name", name, out);
    for (int i = 0; i < count; i++) {
        if (!*lines[i])
            continue;
        const int row = frame->column ? i + 1 - skip : i;
        print_text(frame->column ? left + 16 : left + (i == 0 ? beside : NAME_WIDTH), y + 22 + ROW * row, "detail", lines[i], out);
    }
    if (picture->total > 0 && frame->column) {
        draw_bar(drawing, picture, left + 16, y + height - 16, width - 78, out);
        print_text(frame->right - 10, y + height - 8, "number", arena_printf(drawing->arena, "%.1f %%", 100 * picture->share), out);
    } else if (picture->total > 0) {
        draw_bar(drawing, picture, BAR_LEFT + drawing->wider, middle - 4, BAR_WIDTH, out);
        draw_figures(drawing, picture, middle + 4, out);
    }
    return y + height;
}

/* ---- scopes ---- */

static int repeats_within(const Picture *picture)
{
    int most = 0;
    for (int i = 0; i < picture->child_count; i++) {
        const int within = repeats_within(picture->children[i]);
        most = within > most ? within : most;
    }
    return most + (picture->kind == PICTURE_REPEAT);
}

static int blocks_within(const Picture *picture)
{
    int most = 0;
    for (int i = 0; i < picture->child_count; i++) {
        const int within = blocks_within(picture->children[i]);
        most = within > most ? within : most;
    }
    return most + (picture->kind == PICTURE_BLOCK || picture->kind == PICTURE_AT || picture->kind == PICTURE_PARALLEL);
}

static double need_of(const Picture *picture, bool column);

/* In a column of its own, brackets and frames included. */
static double need_of_branch(const Picture *branch) { return 12 + BRACKET * repeats_within(branch) + 2 * PAD * blocks_within(branch) + need_of(branch, true); }

/* How far boxes must reach to the right of the stream. */
static double need_of(const Picture *picture, bool column)
{
    double most = 0, sum = REACH - GAP;
    for (int i = 0; i < picture->child_count; i++) {
        const Picture *child = picture->children[i];
        most = fmax(most, need_of(child, column || picture->kind == PICTURE_PARALLEL));
        sum += picture->kind == PICTURE_PARALLEL ? need_of_branch(child) + GAP : 0;
    }
    switch (picture->kind) {
    case PICTURE_LINE: return (column ? LINE_LEAST : LINE_WIDE) + (picture->wired ? COLUMN : 0);
    case PICTURE_PARALLEL: return sum;
    case PICTURE_AT: return most + DOOR + BRACKET * repeats_within(picture) + PAD * blocks_within(picture);
    case PICTURE_BLOCK:
    case PICTURE_REPEAT:
    case PICTURE_BRANCH: break;
    }
    return most;
}

static double draw_children(const Drawing *drawing, const Picture *picture, Frame frame, double y, Str *out);

static void draw_panel(double left, double top, double right, double bottom, Str *out)
{
    str_printf(out, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" rx=\"10\" class=\"panel\"/>\n", left, top, right - left, bottom - top);
}

/* How far the frame of a block reaches beyond its lines: over brackets and blocks in it. */
static double reach_left(const Picture *picture) { return 20 + PAD * (blocks_within(picture) - 1) + BRACKET * repeats_within(picture); }
static double reach_right(const Picture *picture) { return PAD * blocks_within(picture); }

static double draw_block(const Drawing *drawing, const Picture *picture, const Frame *frame, double y, Str *out)
{
    Str inner = {0};
    const double left = frame->stream - reach_left(picture), bottom = draw_children(drawing, picture, *frame, y + TITLE, &inner);
    draw_panel(left, y, frame->right + reach_right(picture), bottom + PAD, out);
    stroke_stream(frame->stream, y - GAP / 2.0, y + TITLE, out);
    print_text(frame->stream + 14, y + 17, "title", shown_name(drawing, picture), out);
    str_append(out, str_text(&inner));
    str_free(&inner);
    stroke_stream(frame->stream, bottom, bottom + PAD + GAP / 2.0, out);
    return bottom + PAD;
}

static double draw_repeat(const Drawing *drawing, const Picture *picture, const Frame *frame, double y, Str *out)
{
    const double bottom = draw_children(drawing, picture, *frame, y, out);
    const double x = frame->stream - 24 - PAD * blocks_within(picture) - BRACKET * (repeats_within(picture) - 1), middle = (y + bottom) / 2;
    str_printf(out, "<path d=\"M%g %gh-4a6 6 0 0 0-6 6V%ga6 6 0 0 0 6 6h4\" class=\"bracket\"/>\n", x + 6, y, bottom - 6);
    str_printf(out, "<text x=\"%g\" y=\"%g\" class=\"times\">%lld ×</text>\n", x - 8, middle + 5, (long long)picture->count);
    if (picture->shared)
        print_text(frame->stream + 14, bottom + 14, "faint small", "the same weights each time", out);
    if (picture->shared)
        stroke_stream(frame->stream, bottom, bottom + 18 + GAP, out);
    return bottom + (picture->shared ? 18 : 0);
}

/* Branches side by side: one line leads to all of them, another collects them. What room is left over they share. */
static double draw_parallel(const Drawing *drawing, const Picture *picture, const Frame *frame, double y, Str *out)
{
    const int count = picture->child_count;
    const double over = (frame->right - frame->stream - need_of(picture, frame->column)) / (count ? count : 1), top = y + TITLE + 12;
    double bottom = top, left = frame->stream + REACH, *streams = ARENA_ARRAY(drawing->arena, double, count + 1);
    Str inner = {0};
    for (int i = 0; i < count; i++) {
        const Picture *branch = picture->children[i];
        const double right = left + need_of_branch(branch) + over, frames = PAD * blocks_within(branch), margin = BRACKET * repeats_within(branch) + frames;
        const Frame column = {.stream = left + 12 + margin, .left = left + margin, .right = right - frames, .column = true, .width = frame->width};
        const double below = draw_children(drawing, branch, column, top, &inner);
        bottom = below > bottom ? below : bottom;
        streams[i] = column.stream;
        left = right + GAP;
    }
    const double join = bottom + 12;
    draw_panel(frame->stream - 20, y, frame->right + PAD, join + 12, out);
    print_text(frame->stream + 14, y + 17, "title", picture_title(drawing->arena, picture), out);
    stroke_stream(frame->stream, y - GAP / 2.0, join + 12 + GAP / 2.0, out);
    if (count > 0)
        str_printf(out, "<path d=\"M%g %gH%gM%g %gH%g\" class=\"stream\"/>\n", frame->stream, y + TITLE, streams[count - 1], frame->stream, join, streams[count - 1]);
    for (int i = 0; i < count; i++)
        stroke_stream(streams[i], y + TITLE, join, out);
    str_append(out, str_text(&inner));
    str_free(&inner);
    draw_plus(frame->stream, join, out);
    return join + 12;
}

/* A stream of another width beside the outer one. */
static double draw_at(const Drawing *drawing, const Picture *picture, const Frame *frame, double y, Str *out)
{
    Frame within = *frame;
    within.stream = frame->stream + DOOR + BRACKET * repeats_within(picture) + PAD * (blocks_within(picture) - 1);
    within.left = within.stream - 14;
    within.width = picture->width;
    Str inner = {0};
    const double top = y + TITLE + 14, bottom = draw_children(drawing, picture, within, top + GAP, &inner), join = bottom + 14;
    draw_panel(frame->stream - 20, y, frame->right + reach_right(picture), join + 14, out);
    print_text(within.stream + 22, y + TITLE + 5, "title", picture_title(drawing->arena, picture), out);
    stroke_stream(frame->stream, y - GAP / 2.0, join + 14 + GAP / 2.0, out);
    str_printf(out, "<path d=\"M%g %gH%gV%gM%g %gV%gH%g\" class=\"stream\"/>\n", frame->stream, y + TITLE, within.stream, top + GAP, within.stream, bottom, join, frame->stream);
    const bool narrower = picture->width < frame->width;
    const double wide = narrower ? 14 : 8, narrow = narrower ? 8 : 14;
    str_printf(out, "<path d=\"M%g %gh%gl%g 10h%gz\" class=\"door\"/>", within.stream - wide, y + TITLE - 5, 2 * wide, narrow - wide, -2 * narrow);
    str_printf(out, "<path d=\"M%g %gh%gl%g 10h%gz\" class=\"door\"/>\n", within.stream - narrow, join - 5, 2 * narrow, wide - narrow, -2 * wide);
    str_append(out, str_text(&inner));
    str_free(&inner);
    draw_plus(frame->stream, join, out);
    return join + 14;
}

static double draw_one(const Drawing *drawing, const Picture *picture, const Frame *frame, double y, Str *out)
{
    switch (picture->kind) {
    case PICTURE_LINE: return draw_line(drawing, picture, frame, y, out);
    case PICTURE_REPEAT: return draw_repeat(drawing, picture, frame, y, out);
    case PICTURE_PARALLEL: return draw_parallel(drawing, picture, frame, y, out);
    case PICTURE_AT: return draw_at(drawing, picture, frame, y, out);
    case PICTURE_BLOCK:
    case PICTURE_BRANCH: return draw_block(drawing, picture, frame, y, out);
    }
    return y;
}

static double draw_children(const Drawing *drawing, const Picture *picture, Frame frame, double y, Str *out)
{
    for (int i = 0; i < picture->child_count; i++) {
        const Picture *child = picture->children[i];
        if (i > 0)
            y += GAP;
        y = draw_one(drawing, child, &frame, y, out);
        if (child->kind != PICTURE_LINE || child->width == frame.width || child->width == 0)
            continue;
        frame.width = child->width;
        if (i + 1 < picture->child_count)
            y = draw_width(drawing, frame.stream, y, frame.width, out);
    }
    return y;
}

/* ---- the sheet ---- */

/* The picture in words. */
static void describe(const Drawing *drawing, const Picture *picture, Str *out)
{
    for (int i = 0; i < picture->child_count; i++) {
        const Picture *child = picture->children[i];
        str_append(out, i ? picture->kind == PICTURE_PARALLEL ? " beside " : ", " : "");
        print_escaped(child->kind == PICTURE_LINE || child->kind == PICTURE_BLOCK ? shown_name(drawing, child)
                      : child->kind == PICTURE_BRANCH                             ? ""
                                                                                  : picture_title(drawing->arena, child),
                      out);
        if (child->kind == PICTURE_LINE && child->total > 0)
            str_printf(out, " (%.1f %% of the parameters)", 100 * child->share);
        if (child->child_count > 0) {
            str_append(out, child->kind == PICTURE_BRANCH ? "" : " (");
            describe(drawing, child, out);
            str_append(out, child->kind == PICTURE_BRANCH ? "" : ")");
        }
    }
}

static void print_head(const Drawing *drawing, double height, Str *out)
{
    const PictureSheet *sheet = drawing->sheet;
    const double width = SHEET + drawing->wider;
    str_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" role=\"img\" aria-labelledby=\"title desc\">\n", width, height,
               width, height);
    str_printf(out, "<title id=\"title\">%s ", sheet->kind);
    print_escaped(sheet->root->name, out);
    str_append(out, "</title>\n<desc id=\"desc\">");
    const char **lines;
    const int count = picture_wrap(drawing->arena, &sheet->summary, columns_in(SHEET), columns_in(SHEET), &lines);
    print_escaped(count ? lines[0] : "", out);
    str_append(out, ". From the beginning to the end: ");
    describe(drawing, sheet->root, out);
    str_append(out, ".</desc>\n<style>\n"
                    "text{font-family:system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif;font-size:12px;fill:#2b3340}\n"
                    ".head{font-size:23px;font-weight:650}.name{font-size:13.5px;font-weight:600}.title{font-size:12.5px;font-weight:600;fill:#4a5464}\n"
                    ".detail{fill:#465061}.faint{fill:#7b8494}.small{font-size:11px}.number{text-anchor:end}.times{font-size:15px;font-weight:650;text-anchor:end}\n"
                    ".sheet,.paper{fill:#fff}.panel{fill:#7b8494;fill-opacity:.07;stroke:#7b8494;stroke-opacity:.35}.track{fill:#7b8494;fill-opacity:.13}\n"
                    ".stream{stroke:#8a93a3;stroke-width:2;fill:none}.plus{stroke:#8a93a3;stroke-width:1.6;fill:#fff}.bracket{stroke:#2b3340;stroke-width:2;fill:none}\n"
                    ".door{fill:#8a93a3}\n</style>\n");
    str_printf(out, "<rect width=\"%g\" height=\"%g\" rx=\"12\" class=\"sheet\"/>\n", width, height);
    print_text(EDGE, 46, "head", sheet->root->name, out);
    print_text(EDGE, 70, "faint", count ? lines[0] : "", out);
}

void picture_svg(Arena *arena, const PictureSheet *sheet, Str *out)
{
    const Picture *root = sheet->root;
    const int blocks = blocks_within(root) - 1;
    Frame frame = {.stream = EDGE + 24 + PAD * blocks + BRACKET * repeats_within(root), .right = BAR_LEFT - 28 - PAD * blocks};
    const Drawing drawing = {arena, sheet, fmax(0, frame.stream + need_of(root, false) - frame.right)};
    frame.right += drawing.wider;
    frame.left = frame.stream - 14;
    Str body = {0};
    double y = HEAD;
    if (sheet->vocab == 0) {
        frame.width = root->width;
        y = draw_width(&drawing, frame.stream, y - 8, root->width, &body);
    }
    y = draw_children(&drawing, root, frame, y, &body);
    stroke_stream(frame.stream, y, y + 14, &body);
    print_head(&drawing, y + 14 + EDGE, out);
    print_text(BAR_LEFT + drawing.wider, HEAD - 8, "faint small", sheet->sparse ? "share of the parameters; dark: what a token meets" : "share of the parameters", out);
    str_append(out, str_text(&body));
    str_append(out, "</svg>\n");
    str_free(&body);
}
