/* What peripherals have to do at a core clock: callbacks, the earliest first, of one clock in their
 * order. */
#include "core.h"

#include <structmember.h>

static bool before(const Due *a, const Due *b)
{
    return a->clock != b->clock ? a->clock < b->clock : a->order < b->order;
}

static void swap(Due *a, Due *b)
{
    Due was = *a;
    *a = *b;
    *b = was;
}

/* Takes the reference. False, with an exception, without memory. */
static bool push(Core *c, Due due)
{
    if (c->due_count == c->due_size) {
        Due *grown = PyMem_Resize(c->due, Due, (size_t)c->due_size * 2 + 16);
        if (!grown) {
            Py_DECREF(due.event);
            PyErr_NoMemory();
            return false;
        }
        c->due = grown;
        c->due_size = c->due_size * 2 + 16;
    }
    Py_ssize_t i = c->due_count++;
    for (c->due[i] = due; i && before(&c->due[i], &c->due[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&c->due[i], &c->due[(i - 1) / 2]);
    c->event = c->due[0].clock;
    return true;
}

static Event *pop(Core *c)
{
    Event *first = c->due[0].event;
    c->due[0] = c->due[--c->due_count];
    for (Py_ssize_t i = 0, child; (child = 2 * i + 1) < c->due_count; i = child) {
        if (child + 1 < c->due_count && before(&c->due[child + 1], &c->due[child]))
            child++;
        if (!before(&c->due[child], &c->due[i]))
            break;
        swap(&c->due[child], &c->due[i]);
    }
    c->event = c->due_count ? c->due[0].clock : NEVER;
    return first;
}

/* Call what is due by now; a cancelled event costs only its pop. False after an exception. */
bool events_run(Core *c)
{
    while (c->event <= c->now) {
        Event *event = pop(c);
        PyObject *callback = Py_NewRef(event->callback);
        Py_DECREF(event);
        PyObject *result = callback == Py_None ? Py_NewRef(Py_None) : PyObject_CallNoArgs(callback);
        Py_DECREF(callback);
        if (!result)
            return false;
        Py_DECREF(result);
    }
    return true;
}

int events_traverse(Core *c, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < c->due_count; i++)
        Py_VISIT(c->due[i].event);
    return 0;
}

void events_clear(Core *c)
{
    while (c->due_count)
        Py_DECREF(pop(c));
}

/* The Python type `Event`, and what `Core` has of events */

static Event *make(PyObject *callback)
{
    Event *event = PyObject_GC_New(Event, &event_type);
    if (event) {
        event->callback = Py_NewRef(callback);
        PyObject_GC_Track(event);
    }
    return event;
}

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    static char *names[] = {"callback", NULL};
    PyObject *callback;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &callback))
        return NULL;
    return (PyObject *)make(callback);
}

static int event_traverse(Event *event, visitproc visit, void *arg)
{
    Py_VISIT(event->callback);
    return 0;
}

static PyObject *event_cancel(Event *event, PyObject *unused)
{
    (void)unused;
    Py_SETREF(event->callback, Py_NewRef(Py_None));
    Py_RETURN_NONE;
}

static int event_clear(Event *event)
{
    Py_DECREF(event_cancel(event, NULL));
    return 0;
}

static void event_dealloc(Event *event)
{
    PyObject_GC_UnTrack(event);
    Py_XDECREF(event->callback);
    Py_TYPE(event)->tp_free((PyObject *)event);
}

static PyMethodDef event_methods[] = {
    {"cancel", (PyCFunction)event_cancel, METH_NOARGS, "It will not be called."},
    {0},
};

static PyMemberDef event_members[] = {
    {"callback", T_OBJECT_EX, offsetof(Event, callback), 0, "what is called, or None"},
    {0},
};

PyTypeObject event_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "omvsim.engine._core.Event",
    .tp_basicsize = sizeof(Event),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = event_new,
    .tp_traverse = (traverseproc)event_traverse,
    .tp_clear = (inquiry)event_clear,
    .tp_dealloc = (destructor)event_dealloc,
    .tp_methods = event_methods,
    .tp_members = event_members,
};

PyObject *events_schedule(Core *c, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "schedule(clock, callback)");
    uint64_t clock = PyLong_AsUnsignedLongLong(args[0]);
    if (clock == NEVER && PyErr_Occurred())
        return NULL;
    Event *event = make(args[1]);
    if (!event)
        return NULL;
    if (clock < c->now)
        clock = c->now;
    if (!push(c, (Due){clock, c->due_order++, (Event *)Py_NewRef(event)})) {
        Py_DECREF(event);
        return NULL;
    }
    if (clock < c->deadline)
        c->deadline = clock;
    return (PyObject *)event;
}

PyObject *events_get(Core *c, void *unused)
{
    (void)unused;
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list && i < c->due_count; i++) {
        const Due *due = &c->due[i];
        PyObject *one = Py_BuildValue("KKO", (unsigned long long)due->clock,
                                      (unsigned long long)due->order, due->event);
        if (!one || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

int events_set(Core *c, PyObject *list, void *unused)
{
    (void)unused;
    if (!list || !PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "events are a list of (clock, order, Event)");
        return -1;
    }
    events_clear(c);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        unsigned long long clock, order;
        Event *event;
        PyObject *one = PyList_GET_ITEM(list, i);
        if (!PyTuple_Check(one)) {
            PyErr_SetString(PyExc_TypeError, "an event is (clock, order, Event)");
            return -1;
        }
        if (!PyArg_ParseTuple(one, "KKO!", &clock, &order, &event_type, &event))
            return -1;
        if (!push(c, (Due){clock, order, (Event *)Py_NewRef(event)}))
            return -1;
    }
    return 0;
}
