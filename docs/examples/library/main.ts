// main.ts: the program.

import { app } from "./shop";

app.listen(3000);
