//! The Todo list: in memory, bounded, and never without its first three entries.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Todo {
    /// Unique in this process.
    pub(super) id: u64,
    /// What to do.
    pub(super) title: String,
    /// Is it done?
    pub(super) done: bool,
}

/// What a client posts.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NewTodo {
    title: String,
    #[serde(default)]
    done: bool,
}

/// All of them, by id.
#[derive(Debug)]
pub(super) struct Todos {
    list: VecDeque<Todo>,
    next: u64,
}

/// Kept at most; the oldest posted one goes first.
const MOST: usize = 1000;

/// Every pod has these, so that a probe finds `/api/todos/1` wherever it lands.
const FIRST: [&str; 3] = ["Water the plants", "Call the plumber", "Return the library books"];

impl Todos {
    /// The list as it begins.
    pub(super) fn new() -> Self {
        let mut todos = Self { list: VecDeque::new(), next: 1 };
        for title in FIRST {
            todos.add(NewTodo { title: title.to_owned(), done: false });
        }
        todos
    }

    /// Adds one, forgetting the oldest posted one when the list is full.
    pub(super) fn add(&mut self, new: NewTodo) -> Todo {
        if self.list.len() >= MOST {
            self.list.remove(FIRST.len());
        }
        let todo = Todo { id: self.next, title: new.title, done: new.done };
        self.next += 1;
        self.list.push_back(todo.clone());
        todo
    }

    /// One of them.
    pub(super) fn get(&self, id: u64) -> Option<&Todo> {
        self.list.binary_search_by_key(&id, |todo| todo.id).ok().and_then(|at| self.list.get(at))
    }

    /// The first `limit`.
    pub(super) fn list(&self, limit: usize) -> Vec<&Todo> {
        self.list.iter().take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_forgets_what_was_posted_first_but_keeps_its_beginning() {
        let mut todos = Todos::new();
        for n in 4..=1002 {
            assert_eq!(todos.add(NewTodo { title: n.to_string(), done: true }).id, n);
        }
        assert_eq!(todos.list(usize::MAX).len(), MOST);
        assert_eq!([1, 3, 4, 5, 6, 1002, 1003].map(|id| todos.get(id).is_some()), [true, true, false, false, true, true, false]);
        assert_eq!(todos.get(1002), Some(&Todo { id: 1002, title: "1002".to_owned(), done: true }));
    }
}
