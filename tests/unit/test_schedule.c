/* Schedules against the interpreter: every way of running a unit gives its values. */
#include "run_compiled.h"

/* y[b,l,o] = sum i x*w; z[b,l] = sum o y^2; the product's operand is computed */
static void test_product(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l,8"), g = param(&s, "g", "8"), w = param(&s, "w", "8,12"), y = local(&s, "y", "b,l,12"), z = local(&s, "z", "b,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l o:12 i:8");
    end(&s, y, "b,l,o", mul(&s, mul(&s, rd(&s, x, "b,l,i"), rd(&s, g, "i")), rd(&s, w, "i,o")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l o:12");
    end(&s, z, "b,l", mul(&s, rd(&s, y, "b,l,o"), rd(&s, y, "b,l,o")));
    output(&s, "y", OUTPUT_RESULT, y), output(&s, "z", OUTPUT_RESULT, z);
    compare_all(&s, sketch_formals(&s, s.unit, true, 1), "product");
    sketch_free(&s);
}

/* Batched with strides in the middle, transposed operands, a sum over two indices. */
static void test_batched(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int q = input(&s, "q", "b,l,2,4,6"), k = input(&s, "k", "b,l,2,6"), v = input(&s, "v", "b,l,2,5"), wo = param(&s, "wo", "2,4,5,7");
    int p = local(&s, "p", "b,2,4,l,l"), o = local(&s, "o", "b,l,2,4,5"), y = local(&s, "y", "b,l,7");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:4 i:l j:l e:6");
    end(&s, p, "b,n,r,i,j", mul(&s, num(&s, 0.5), mul(&s, rd(&s, q, "b,i,n,r,e"), rd(&s, k, "b,j,n,e"))));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l n:2 r:4 c:5 j:l");
    cond(&s, "i-j");
    end(&s, o, "b,i,n,r,c", mul(&s, rd(&s, p, "b,n,r,i,j"), rd(&s, v, "b,j,n,c")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l o:7 n:2 r:4 c:5");
    end(&s, y, "b,l,o", mul(&s, rd(&s, o, "b,l,n,r,c"), rd(&s, wo, "n,r,c,o")));
    output(&s, "y", OUTPUT_RESULT, y), output(&s, "p", OUTPUT_RESULT, p);
    compare_all(&s, sketch_formals(&s, s.unit, true, 2), "batched product");
    sketch_free(&s);
}

/* The domain concerns both sides: the result is cut afterwards. */
static void test_domain_on_both_sides(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int q = input(&s, "q", "b,l,6"), k = input(&s, "k", "b,l,6"), p = local(&s, "p", "b,l,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l j:l e:6");
    cond(&s, "i-j");
    end(&s, p, "b,i,j", mul(&s, rd(&s, q, "b,i,e"), rd(&s, k, "b,j,e")));
    output(&s, "p", OUTPUT_RESULT, p);
    compare_all(&s, sketch_formals(&s, s.unit, true, 3), "product");
    sketch_free(&s);
}

/* Routed rows: by key, scattered back, and the weights' gradient into keys. */
static void test_keyed(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l,8"), keys = integers(&s, "key", "b,2l,2", 4, true), rows = integers(&s, "row", "b,2l,2", 3, true);
    int weight = input(&s, "weight", "b,2l,2"), w_in = param(&s, "w_in", "4,8,10"), w_out = param(&s, "w_out", "4,10,8");
    int u = local(&s, "u", "b,2l,2,10"), y = local(&s, "y", "b,l,8"), dw = local(&s, "dw", "4,8,10"), dx = local(&s, "dx", "b,l,8");
    char key[32], row[32], text[128];
    (void)snprintf(key, sizeof key, "@%d(b,p,c)", keys), (void)snprintf(row, sizeof row, "@%d(b,p,c)", rows);
    begin(&s, OP_NEST, REDUCE_SUM, "b:b p:2l c:2 f:10 i:8");
    (void)snprintf(text, sizeof text, "b,%s,i", row);
    int read_x = rd(&s, x, text);
    (void)snprintf(text, sizeof text, "%s,i,f", key);
    end(&s, u, "b,p,c,f", mul(&s, read_x, rd(&s, w_in, text)));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b p:2l c:2 o:8 f:10");
    (void)snprintf(text, sizeof text, "%s,f,o", key);
    int body = mul(&s, rd(&s, weight, "b,p,c"), mul(&s, rd(&s, u, "b,p,c,f"), rd(&s, w_out, text)));
    (void)snprintf(text, sizeof text, "b,%s,o", row);
    end(&s, y, text, body);
    begin(&s, OP_NEST, REDUCE_SUM, "b:b p:2l c:2 f:10 i:8");
    (void)snprintf(text, sizeof text, "b,%s,i", row);
    read_x = rd(&s, x, text);
    (void)snprintf(text, sizeof text, "%s,i,f", key);
    end(&s, dw, text, mul(&s, read_x, rd(&s, u, "b,p,c,f")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b p:2l c:2 i:8 f:10");
    (void)snprintf(text, sizeof text, "%s,i,f", key);
    body = mul(&s, rd(&s, u, "b,p,c,f"), rd(&s, w_in, text));
    (void)snprintf(text, sizeof text, "b,%s,i", row);
    end(&s, dx, text, body);
    output(&s, "u", OUTPUT_RESULT, u), output(&s, "y", OUTPUT_RESULT, y), output(&s, "dw", OUTPUT_RESULT, dw), output(&s, "dx", OUTPUT_RESULT, dx);
    compare_all(&s, sketch_formals(&s, s.unit, true, 4), "product into keys");
    sketch_free(&s);
}

/* Chosen rows, keys affine: rows gathered along m, and along k for the weights' gradient. */
static void test_chosen_rows(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l,8"), row = integers(&s, "row", "b,4,5", 3, true), w = param(&s, "w", "4,8,10");
    int u = local(&s, "u", "b,4,5,10"), dw = local(&s, "dw", "4,8,10");
    char text[64];
    (void)snprintf(text, sizeof text, "b,@%d(b,e,k),i", row);
    begin(&s, OP_NEST, REDUCE_SUM, "b:b e:4 k:5 f:10 i:8");
    end(&s, u, "b,e,k,f", mul(&s, rd(&s, x, text), rd(&s, w, "e,i,f")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b e:4 k:5 f:10 i:8");
    end(&s, dw, "e,i,f", mul(&s, rd(&s, x, text), rd(&s, u, "b,e,k,f")));
    output(&s, "u", OUTPUT_RESULT, u), output(&s, "dw", OUTPUT_RESULT, dw);
    compare_all(&s, sketch_formals(&s, s.unit, true, 5), "rows gathered");
    sketch_free(&s);
}

/* Mixing over earlier places, over a window of them, and the gradients of both: triangles and bands of products, more than one panel of each. */
static void test_bands(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    InterpContext wide = sketch_context();
    wide.env.value[DIM_L] = 300;
    int w = input(&s, "w", "l,l"), v = input(&s, "v", "b,l,6"), g = input(&s, "g", "b,l,6");
    int triangle = local(&s, "triangle", "b,l,6"), window = local(&s, "window", "b,l,6"), dv = local(&s, "dv", "b,l,6"), dw = local(&s, "dw", "l,l"),
        near = local(&s, "near", "l,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l f:6 j:l");
    cond(&s, "i-j");
    end(&s, triangle, "b,i,f", mul(&s, rd(&s, w, "i,j"), rd(&s, v, "b,j,f")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l f:6 j:l");
    cond(&s, "i-j+3"), cond(&s, "j-i+40");
    end(&s, window, "b,i,f", mul(&s, rd(&s, w, "i,j"), rd(&s, v, "b,j,f")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b j:l f:6 i:l");
    cond(&s, "i-j");
    end(&s, dv, "b,j,f", mul(&s, rd(&s, w, "i,j"), rd(&s, g, "b,i,f")));
    begin(&s, OP_NEST, REDUCE_SUM, "i:l j:l b:b f:6");
    cond(&s, "i-j");
    end(&s, dw, "i,j", mul(&s, rd(&s, g, "b,i,f"), rd(&s, v, "b,j,f")));
    begin(&s, OP_NEST, REDUCE_SUM, "i:l j:l b:b f:6");
    cond(&s, "i-j"), cond(&s, "j-i+9");
    end(&s, near, "i,j", mul(&s, rd(&s, g, "b,i,f"), rd(&s, v, "b,j,f")));
    const int outputs[] = {triangle, window, dv, dw, near};
    for (int t = 0; t < 5; t++)
        output(&s, s.unit->tensors[outputs[t]].name, OUTPUT_RESULT, outputs[t]);
    compare_all(&s, sketch_formals(&s, s.unit, true, 7), "a triangle of it");
    compare_in(&s, &wide, formals_in(&s, &wide, 7), "a band of it");
    sketch_free(&s);
}

/* A ranking with a domain, a recurrence, integers computed. */
static void test_top_and_recur(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int p = input(&s, "p", "b,l,7"), best = integers(&s, "best", "b,l,3", 7, false), claims = local(&s, "claims", "b,l,3,7"), q = local(&s, "q", "b,l,3");
    begin(&s, OP_TOP, REDUCE_SET, "b:b l:l e:7");
    cond(&s, "l+1-e");
    s.op.op.reduced = 1, s.op.op.top_k = dim_int(s.program->dims, 3);
    end(&s, best, "b,l", rd(&s, p, "b,l,e"));
    begin(&s, OP_RECUR, REDUCE_SET, "b:b l:l c:3 e:7");
    s.op.op.scan_count = 2, s.op.op.scan = ARENA_ARRAY(s.arena, int, 2);
    s.op.op.scan[0] = 1, s.op.op.scan[1] = 2, s.op.op.exclusive = true, s.op.op.body2 = -1, s.op.op.init.tensor = -1;
    end(&s, claims, "b,l,c,e", bin(&s, EXPR_EQ, rd(&s, best, "b,l,c"), pos(&s, "e")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b l:l c:3");
    char text[64];
    (void)snprintf(text, sizeof text, "b,l,c,@%d(b,l,c)", best);
    end(&s, q, "b,l,c", rd(&s, claims, text));
    int turned = integers(&s, "turned", "l,b,2", 7, false); /* its outer indices in another order than the result has them */
    begin(&s, OP_TOP, REDUCE_SET, "b:b l:l e:7");
    s.op.op.reduced = 1, s.op.op.top_k = dim_int(s.program->dims, 2);
    end(&s, turned, "l,b", rd(&s, p, "b,l,e"));
    output(&s, "turned", OUTPUT_RESULT, turned);
    output(&s, "best", OUTPUT_RESULT, best), output(&s, "claims", OUTPUT_RESULT, claims), output(&s, "q", OUTPUT_RESULT, q);
    compare_all(&s, sketch_formals(&s, s.unit, true, 6), "ranking");
    sketch_free(&s);
}

/* y = x + p1 + p2: the products add to x, and to what is there; s = y + z, where z is computed after the product: that one runs late; dw into keys
   adds to a plain product. */
static void test_sums_of_products(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l,8"), w1 = param(&s, "w1", "8,8"), w2 = param(&s, "w2", "8,8"), keys = integers(&s, "key", "b,l", 3, true);
    int p1 = local(&s, "p1", "b,l,8"), p2 = local(&s, "p2", "b,l,8"), y = local(&s, "y", "b,l,8"), p3 = local(&s, "p3", "b,l,8"), z = local(&s, "z", "b,l,8");
    int t = local(&s, "t", "b,l,8"), k1 = local(&s, "k1", "3,8,8"), k2 = local(&s, "k2", "3,8,8"), dw = local(&s, "dw", "3,8,8"), f = local(&s, "f", "b,l,8");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l o:8 i:8");
    end(&s, p1, "b,l,o", mul(&s, rd(&s, x, "b,l,i"), rd(&s, w1, "i,o")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l o:8 i:8");
    end(&s, p2, "b,l,o", mul(&s, rd(&s, x, "b,l,i"), rd(&s, w2, "i,o")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b l:l o:8");
    end(&s, y, "b,l,o", bin(&s, EXPR_ADD, bin(&s, EXPR_ADD, rd(&s, p2, "b,l,o"), rd(&s, x, "b,l,o")), rd(&s, p1, "b,l,o")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l o:8 i:8");
    end(&s, p3, "b,l,o", mul(&s, rd(&s, x, "b,l,i"), rd(&s, w2, "o,i")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b l:l o:8");
    end(&s, z, "b,l,o", mul(&s, rd(&s, y, "b,l,o"), rd(&s, y, "b,l,o")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b l:l o:8");
    end(&s, t, "b,l,o", bin(&s, EXPR_ADD, rd(&s, p3, "b,l,o"), rd(&s, z, "b,l,o")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l e:3 i:8 o:8");
    end(&s, k1, "e,i,o", mul(&s, rd(&s, x, "b,l,i"), mul(&s, rd(&s, y, "b,l,o"), num(&s, 0.25))));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b l:l i:8 o:8");
    char text[64];
    (void)snprintf(text, sizeof text, "@%d(b,l),i,o", keys);
    end(&s, k2, text, mul(&s, rd(&s, x, "b,l,i"), rd(&s, t, "b,l,o")));
    begin(&s, OP_NEST, REDUCE_SET, "e:3 i:8 o:8");
    end(&s, dw, "e,i,o", bin(&s, EXPR_ADD, rd(&s, k1, "e,i,o"), rd(&s, k2, "e,i,o")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b l:l o:8"); /* one that is also read by itself stays a sum */
    end(&s, f, "b,l,o", bin(&s, EXPR_ADD, rd(&s, t, "b,l,o"), rd(&s, t, "b,l,o")));
    output(&s, "y", OUTPUT_RESULT, y), output(&s, "t", OUTPUT_RESULT, t), output(&s, "dw", OUTPUT_RESULT, dw), output(&s, "f", OUTPUT_RESULT, f);
    output(&s, "z", OUTPUT_RESULT, z);
    compare_all(&s, sketch_formals(&s, s.unit, true, 8), "added to x");
    sketch_free(&s);
}

/* Calls flattened, draws keyed by their path; a formal and one result given out twice. */
static void test_calls(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    Unit *top = s.unit;
    s.unit = unit_new(s.program, intern(s.interner, "drop"));
    Unit *callee = s.unit;
    int x = input(&s, "x", "b,l,4"), y = local(&s, "y", "b,l,4");
    begin(&s, OP_NEST, REDUCE_SET, "b:b l:l o:4");
    Affine subs[3];
    Dim extents[3];
    for (int i = 0; i < 3; i++)
        subs[i] = affine_index(s.program, i), extents[i] = s.op.op.indices[i].extent;
    end(&s, y, "b,l,o", mul(&s, rd(&s, x, "b,l,o"), expr_draw(&s.op, intern(s.interner, "keep"), 3, subs, extents)));
    output(&s, "y", OUTPUT_RESULT, y), output(&s, "x", OUTPUT_RESULT, x);
    s.unit = top;
    int a = input(&s, "a", "b,l,4"), c = local(&s, "c", "b,l,4"), d = local(&s, "d", "b,l,4"), same = local(&s, "same", "b,l,4");
    for (int i = 0; i < 2; i++) {
        OpBuilder call = op_begin(s.unit, OP_CALL);
        call.op.callee = callee, call.op.path = intern(s.interner, i == 0 ? "first" : "second");
        call.op.arg_count = 1, call.op.args = ARENA_ARRAY(s.arena, int, 1), call.op.args[0] = i == 0 ? a : c;
        call.op.result_count = 2, call.op.results = ARENA_ARRAY(s.arena, int, 2);
        call.op.results[0] = i == 0 ? c : d, call.op.results[1] = i == 0 ? same : -1;
        call.op.out.tensor = call.op.init.tensor = call.op.body = call.op.body2 = -1;
        op_finish(&call);
    }
    output(&s, "d", OUTPUT_RESULT, d), output(&s, "c", OUTPUT_RESULT, c), output(&s, "c2", OUTPUT_RESULT, c), output(&s, "a", OUTPUT_RESULT, same);
    compare_all(&s, sketch_formals(&s, s.unit, true, 7), NULL);
    sketch_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product),       cmocka_unit_test(test_batched),          cmocka_unit_test(test_domain_on_both_sides),
        cmocka_unit_test(test_keyed),         cmocka_unit_test(test_chosen_rows),      cmocka_unit_test(test_bands),
        cmocka_unit_test(test_top_and_recur), cmocka_unit_test(test_sums_of_products), cmocka_unit_test(test_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
