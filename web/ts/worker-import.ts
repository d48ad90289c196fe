import * as glue from '../wasm/import/glue.js';
import { serve } from './serve.js';

serve(glue);
