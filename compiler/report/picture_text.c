/* A picture on a terminal. The stream runs down the left side; what is added to it hangs off it, what stands in its way interrupts it. Scopes are brackets,
   branches stand side by side where there is room. */
#include "report/picture.h"

#include <string.h>

enum { BOLD = 1, DIM = 2 };
enum { BAR = 14, FIGURES = 18, WIDE = 62, BRANCH_LEAST = 20, NAME = 13 };

/* A place on the screen. */
typedef struct Cell {
    char text[8];
    int color, style; /* color: PICTURE_GREY for the terminal's own */
} Cell;

typedef struct Screen {
    Arena *arena;
    const PictureSheet *sheet;
    int columns, rows, room;
    Cell *cells;
} Screen;

/* ---- the screen ---- */

static void need_row(Screen *screen, int row)
{
    if (row < screen->rows)
        return;
    if (row >= screen->room) {
        const int room = 2 * row + 16;
        Cell *cells = ARENA_ARRAY(screen->arena, Cell, room * screen->columns);
        if (screen->rows)
            memcpy(cells, screen->cells, (size_t)(screen->rows * screen->columns) * sizeof *cells);
        screen->cells = cells;
        screen->room = room;
    }
    screen->rows = row + 1;
}

/* Text beyond `end` is cut off. Returns the column behind it. */
static int put(Screen *screen, int row, int column, int end, int color, int style, const char *text)
{
    need_row(screen, row);
    while (*text && column < end && column < screen->columns) {
        size_t length = 1;
        while (((unsigned char)text[length] & 0xC0) == 0x80)
            length++;
        Cell *cell = &screen->cells[row * screen->columns + column++];
        memcpy(cell->text, text, length < sizeof cell->text ? length : 0);
        cell->text[length < sizeof cell->text ? length : 0] = '\0';
        cell->color = color;
        cell->style = style;
        text += length;
    }
    return column;
}

static void print_cell(const Cell *cell, bool color, const Cell **last, Str *out)
{
    static const int COLORS[PICTURE_COLORS] = {67, 208, 71, 167, 73, 139, 178, 175, 137, 103};
    const bool changed = !*last || (*last)->color != cell->color || (*last)->style != cell->style;
    if (color && changed) {
        str_append(out, "\033[0");
        if (cell->style & BOLD)
            str_append(out, ";1");
        if (cell->style & DIM)
            str_append(out, ";2");
        if (cell->color >= 0)
            str_printf(out, ";38;5;%d", COLORS[cell->color]);
        str_push(out, 'm');
    }
    *last = cell;
    str_append(out, cell->text);
}

static void print_screen(const Screen *screen, bool color, Str *out)
{
    static const Cell BLANK = {.text = " ", .color = PICTURE_GREY};
    for (int row = 0; row < screen->rows; row++) {
        int end = screen->columns;
        while (end > 0 && !screen->cells[row * screen->columns + end - 1].text[0])
            end--;
        const Cell *last = &BLANK;
        for (int column = 0; column < end; column++) {
            const Cell *cell = &screen->cells[row * screen->columns + column];
            print_cell(cell->text[0] ? cell : &BLANK, color, &last, out);
        }
        if (color && (last->color >= 0 || last->style))
            str_append(out, "\033[0m");
        str_push(out, '\n');
    }
}

/* ---- lines ---- */

/* Full where a token meets the parameters, light where it does not; a line of parameters is never without a mark. */
static void draw_bar(Screen *screen, int row, int column, int width, const Picture *picture)
{
    static const char *const EIGHTHS[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const double largest = screen->sheet->largest > 0 ? screen->sheet->largest : 1;
    const double part = picture->total > 0 && picture->activated > 0 && picture->activated < 0.995 * picture->total ? picture->activated / picture->total : 1;
    int all = (int)(picture->share / largest * width * 8 + 0.5);
    all = all == 0 && picture->total > 0 ? 1 : all;
    const int met = (int)(part * all + 0.5) < 1 && all > 0 ? 1 : (int)(part * all + 0.5);
    for (int i = 0; i < width; i++) {
        const int here = met - 8 * i, total = all - 8 * i;
        const char *mark = here >= 8 ? "█" : here > 0 && total <= 8 ? EIGHTHS[here] : here >= 4 ? "▓" : total >= 4 ? "░" : total > 0 ? EIGHTHS[total] : "";
        if (*mark)
            (void)put(screen, row, column + i, screen->columns, picture->color, 0, mark);
    }
}

static void draw_figures(Screen *screen, int row, int column, const Picture *picture)
{
    const char *share = picture->share >= 0.9995 ? "100 %" : arena_printf(screen->arena, "%.1f %%", 100 * picture->share), *count = picture_count(screen->arena, picture->total);
    (void)put(screen, row, column + 7 - picture_columns(share), screen->columns, PICTURE_GREY, 0, share);
    (void)put(screen, row, column + 17 - picture_columns(count), screen->columns, PICTURE_GREY, DIM, count);
}

static void stroke_stream(Screen *screen, int row, int column) { (void)put(screen, row, column, column + 1, PICTURE_GREY, DIM, "│"); }

static const char *shown_name(const Screen *screen, const Picture *picture)
{
    return picture->label ? arena_printf(screen->arena, "%s: %s", picture->label, picture->name) : picture->name;
}

static int draw_line(Screen *screen, const Picture *picture, int row, int column, int end)
{
    const bool wide = end - column >= WIDE;
    const int from = column + (picture->wired ? 2 : 0), text_end = wide ? end - BAR - FIGURES - 1 : end;
    const char **lines;
    (void)put(screen, row, column, from, PICTURE_GREY, DIM, picture->wired ? "├─" : "");
    int to = put(screen, row, from, end, picture->color, 0, "■ ");
    to = put(screen, row, to, text_end, picture->color, BOLD, shown_name(screen, picture));
    const int hang = column + 4 + NAME, start = to + 1 > hang ? to + 1 : hang;
    const int count = picture_wrap(screen->arena, picture, wide ? text_end - start : 0, wide ? end - hang : end - column - 4, &lines);
    int last = row;
    for (int i = 0; i < count; i++) {
        last = row + (wide ? i : i == 0 && !*lines[0] ? 0 : *lines[0] ? i + 1 : i);
        if (last > row)
            stroke_stream(screen, last, column);
        (void)put(screen, last, wide ? i == 0 ? start : hang : column + 4, wide && i == 0 ? text_end : end, PICTURE_GREY, 0, lines[i]);
    }
    if (picture->total <= 0)
        return last + 1;
    if (!wide) {
        last++;
        stroke_stream(screen, last, column);
    }
    draw_bar(screen, wide ? row : last, wide ? end - BAR - FIGURES : column + 4, wide ? BAR : end - column - 4 - 8, picture);
    if (wide)
        draw_figures(screen, row, end - FIGURES, picture);
    else
        (void)put(screen, last, end - 7, end, PICTURE_GREY, 0, arena_printf(screen->arena, "%5.1f %%", 100 * picture->share));
    return last + 1;
}

/* ---- scopes ---- */

static int draw_children(Screen *screen, const Picture *picture, int row, int column, int end, int64_t width);

static int draw_branches(Screen *screen, const Picture *picture, int row, int column, int end, int64_t width)
{
    const int count = picture->child_count, each = count ? (end - column - 3 * (count - 1)) / count : 0;
    if (each < BRANCH_LEAST) {
        for (int i = 0; i < count; i++) {
            (void)put(screen, row++, column, end, PICTURE_GREY, DIM, arena_printf(screen->arena, "branch %d", i + 1));
            row = draw_children(screen, picture->children[i], row, column, end, width);
        }
        return row;
    }
    int last = row;
    for (int i = 0; i < count; i++) {
        const int from = column + i * (each + 3), below = draw_children(screen, picture->children[i], row, from, from + each, width);
        last = below > last ? below : last;
    }
    for (int i = 1; i < count; i++)
        for (int r = row; r < last; r++)
            (void)put(screen, r, column + i * (each + 3) - 2, end, PICTURE_GREY, DIM, "┆");
    return last;
}

/* A bracket on the left; a block that is all a repetition holds shares its bracket. */
static int draw_scope(Screen *screen, const Picture *picture, int row, int column, int end, int64_t width)
{
    const Picture *inner = picture->kind == PICTURE_REPEAT && picture->child_count == 1 && picture->children[0]->kind == PICTURE_BLOCK ? picture->children[0] : picture;
    const char *title = picture->kind == PICTURE_PARALLEL && end - column < 40 ? "parallel" : picture_title(screen->arena, picture);
    if (inner != picture)
        title = arena_printf(screen->arena, "%s %s", title, shown_name(screen, inner));
    int to = put(screen, row, column, end, PICTURE_GREY, 0, picture->kind == PICTURE_REPEAT ? "╭━ " : "╭─ ");
    to = put(screen, row, to, end, PICTURE_GREY, BOLD, title);
    if (end - column >= WIDE) {
        for (to++; to < end - FIGURES - 1; to++)
            (void)put(screen, row, to, end, PICTURE_GREY, DIM, "┈");
        draw_figures(screen, row, end - FIGURES, picture);
    }
    const int first = ++row;
    const int64_t within = picture->kind == PICTURE_AT ? picture->width : width;
    row = picture->kind == PICTURE_PARALLEL ? draw_branches(screen, picture, row, column + 2, end, within) : draw_children(screen, inner, row, column + 2, end, within);
    for (int r = first; r < row; r++)
        (void)put(screen, r, column, column + 1, PICTURE_GREY, 0, picture->kind == PICTURE_REPEAT ? "┃" : "│");
    (void)put(screen, row, column, end, PICTURE_GREY, 0, picture->kind == PICTURE_REPEAT ? "╰━" : "╰─");
    if (picture->kind == PICTURE_AT)
        (void)put(screen, row, column + 3, end, PICTURE_GREY, DIM, arena_printf(screen->arena, "added, %lld wide", (long long)width));
    return row + 1;
}

static int draw_children(Screen *screen, const Picture *picture, int row, int column, int end, int64_t width)
{
    for (int i = 0; i < picture->child_count; i++) {
        const Picture *child = picture->children[i];
        row = child->kind == PICTURE_LINE ? draw_line(screen, child, row, column, end) : draw_scope(screen, child, row, column, end, width);
        if (child->kind != PICTURE_LINE || child->width == width || child->width == 0)
            continue;
        width = child->width; /* set or changed here */
        if (i + 1 < picture->child_count)
            (void)put(screen, row++, column, end, PICTURE_GREY, DIM, arena_printf(screen->arena, "│ %lld wide", (long long)width));
    }
    return row;
}

void picture_text(Arena *arena, const PictureSheet *sheet, int columns, bool color, Str *out)
{
    Screen screen = {.arena = arena, .sheet = sheet, .columns = columns};
    const Picture *root = sheet->root;
    int to = put(&screen, 0, 0, columns, PICTURE_GREY, DIM, sheet->kind);
    (void)put(&screen, 0, to + 1, columns, PICTURE_GREY, BOLD, root->name);
    const char **lines;
    const int count = picture_wrap(arena, &sheet->summary, columns, columns, &lines);
    int row = 1;
    for (int i = 0; i < count; i++)
        (void)put(&screen, row++, 0, columns, PICTURE_GREY, 0, lines[i]);
    need_row(&screen, row++);
    if (sheet->vocab == 0 && root->width)
        (void)put(&screen, row++, 1, columns, PICTURE_GREY, DIM, arena_printf(arena, "│ %lld wide", (long long)root->width));
    (void)draw_children(&screen, root, row, 1, columns, sheet->vocab ? 0 : root->width);
    print_screen(&screen, color, out);
}
